from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, BatchHeader, Codec, parse_header
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Producer
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.progress import LaneProgress
from mesh.lanes.timestamps import (
    NO_LIMIT,
    TimestampLimits,
    TimestampRule,
    first_refused,
    never_taken,
    pieces,
    source_offset_of,
)
from mesh.segment import Segment
from mesh.shares import OnTimestamp
from mesh.spans import GapReason, Span, merge, record_count

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
NOW = 1_000_000
LIMITS = TimestampLimits(before_ms=1000, after_ms=100)
TAKEN, OLD, EARLY = NOW - 5, NOW - 2000, NOW + 200


def headers_of(segment: Segment) -> list[BatchHeader]:
    return [parse_header(batch) for batch in segment.batches]


def records_in(segment: Segment) -> list[Record]:
    return [
        record
        for header, batch in zip(headers_of(segment), segment.batches, strict=True)
        for record in records_of(header, batch[HEADER_BYTES:])
    ]


def batch_of(stamps: list[int], codec: int = 0, epoch: int = 7) -> bytes:
    batch = encode([Record(0, stamp, b"k%d" % n, b"v", (("h", None),)) for n, stamp in enumerate(stamps)], codec=codec)
    return batch[:12] + epoch.to_bytes(4, "big") + batch[16:]


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """Spans of records and gaps, and the records in batches cut anywhere."""
    kinds = draw(st.lists(st.sampled_from([None, None, None, GapReason.ABORTED]), min_size=1, max_size=25))
    spans = merge(Span(100 + at, 1, reason) for at, reason in enumerate(kinds))
    left, batches = record_count(spans), []
    while left:
        count = draw(st.integers(1, left))
        stamps = draw(st.lists(st.sampled_from([TAKEN, OLD, EARLY, -1]), min_size=count, max_size=count))
        batches.append(batch_of(stamps, draw(st.sampled_from(list(Codec)))))
        left -= count
    return Segment(100, 100 + len(kinds), 0, spans, tuple(batches), EARLY)


def cut(segment: Segment, policy: OnTimestamp, present: int = 0, margin_ms: int = 0) -> list[Segment]:
    rule = TimestampRule(policy, LIMITS, margin_ms)
    return pieces(segment, headers_of(segment), rule, NOW, present, DEFAULT_LIMITS)


def source_offsets(spans: tuple[Span, ...]) -> list[int]:
    return [offset for span in spans if span.reason is None for offset in range(span.source_offset, span.end)]


@given(segments(), st.data())
def test_what_is_left_out_is_a_gap_and_all_else_is_as_it_was(segment: Segment, data: st.DataObject) -> None:
    given_records = records_in(segment)
    present = data.draw(st.integers(0, len(given_records)))
    found = cut(segment, OnTimestamp.QUARANTINE, present)
    offsets = source_offsets(segment.spans)
    refused = {
        offset
        for index, (offset, record) in enumerate(zip(offsets, given_records, strict=True))
        if index >= present and record.timestamp_ms in (OLD, EARLY)
    }
    spans = merge(span for piece in found for span in piece.spans)
    told = {o for span in spans if span.reason is GapReason.QUARANTINED for o in range(span.source_offset, span.end)}
    assert told == refused
    kept = [record[1:] for offset, record in zip(offsets, given_records, strict=True) if offset not in refused]
    assert [record[1:] for piece in found for record in records_in(piece)] == kept
    assert source_offsets(spans) == [offset for offset in offsets if offset not in refused]
    for piece in found:
        alone = {span.reason for span in piece.spans}
        assert not piece.batches or GapReason.QUARANTINED not in alone, "a gap is durable before what follows it"


@given(segments(), st.data())
def test_a_lane_takes_the_pieces_one_after_the_other(segment: Segment, data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from([OnTimestamp.QUARANTINE, OnTimestamp.OVERRIDE]))
    progress = LaneProgress.begin(LANE, TopicId("a" * 32), 100, 0, Producer(1, 0))
    for piece in cut(segment, policy):
        for placement in progress.accept(piece, [header.records_count for header in headers_of(piece)]):
            base = progress.expected(placement) if placement.missing else None
            progress.placed(placement, base, piece.leader_epoch)
    assert progress.position == segment.next_source_offset
    progress.check(Segment(progress.position, progress.position, record_count(segment.spans), (), ()), [])


@given(segments(), st.integers(0, 30))
def test_an_overridden_record_keeps_its_place_and_all_but_its_timestamp(segment: Segment, present: int) -> None:
    (found,) = cut(segment, OnTimestamp.OVERRIDE, present)
    assert found.spans == segment.spans
    for index, (before, after) in enumerate(zip(records_in(segment), records_in(found), strict=True)):
        refused = index >= present and before.timestamp_ms in (OLD, EARLY)
        assert after[1:] == (before._replace(timestamp_ms=-1) if refused else before)[1:]


def test_a_segment_without_refused_records_is_passed_on_untouched() -> None:
    segment = Segment(0, 2, 0, (Span(0, 2),), (batch_of([TAKEN, -1]),))
    assert cut(segment, OnTimestamp.QUARANTINE)[0] is segment


def test_a_batch_that_is_made_anew_still_says_its_leader_epoch() -> None:
    segment = Segment(0, 3, 0, (Span(0, 3),), (batch_of([TAKEN, OLD, TAKEN], epoch=9),), leader_epoch=11)
    first, gap, last = cut(segment, OnTimestamp.QUARANTINE)
    assert [header.leader_epoch for piece in (first, last) for header in headers_of(piece)] == [9, 9]
    assert (first.leader_epoch, gap.leader_epoch, last.leader_epoch) == (-1, -1, 11)


def test_a_margin_takes_less_on_both_sides() -> None:
    rule = TimestampRule(OnTimestamp.STOP, LIMITS, margin_ms=50)
    assert rule.window(NOW) == (NOW - 950, NOW + 50)


def test_a_header_is_trusted_only_where_nothing_else_can_be_refused() -> None:
    """A partner states the largest timestamp; the log has the last word, and then records are looked at one by one."""
    after_only = TimestampLimits(after_ms=100)
    assert TimestampRule(OnTimestamp.OVERRIDE, after_only).trusts_headers
    assert not TimestampRule(OnTimestamp.OVERRIDE, after_only, margin_ms=1000).trusts_headers
    assert not TimestampRule(OnTimestamp.OVERRIDE, LIMITS).trusts_headers


def test_limits_are_read_from_settings_old_and_new() -> None:
    before, after = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms"
    assert TimestampLimits.of({}) == TimestampLimits(NO_LIMIT, NO_LIMIT)
    assert TimestampLimits.of({before: "5", after: "7"}) == TimestampLimits(5, 7)
    assert TimestampLimits.of({"message.timestamp.difference.max.ms": "9"}) == TimestampLimits(9, 9)


def test_a_topic_that_compresses_batches_anew_takes_no_timestamp_below_minus_one_of_those() -> None:
    for kind, rebuilt in (("producer", []), ("uncompressed", [1, 2, 3, 4]), ("zstd", [0, 1, 2, 3])):
        limits = TimestampLimits.of({"compression.type": kind})
        assert [codec for codec in Codec if limits.rebuilds(codec)] == rebuilt
        for codec in Codec:
            window = limits.of_batch(limits.window(NOW), codec)
            assert [stamp for stamp in (-5, -1, 0) if window.refuses(stamp)] == ([-5] if codec in rebuilt else [])
            batch = encode([Record(0, NOW, None, b"a"), Record(1, -5, None, b"b")], codec=codec)
            assert never_taken(parse_header(batch), batch, limits, DEFAULT_LIMITS) == (codec in rebuilt)
    assert not TimestampRule(OnTimestamp.OVERRIDE, limits).trusts_headers


def test_a_refusal_is_named_by_the_first_record_that_our_clock_refuses_too() -> None:
    batch = batch_of([TAKEN, EARLY, OLD])
    assert first_refused(parse_header(batch), batch, LIMITS.window(NOW), DEFAULT_LIMITS) == (1, EARLY)
    assert source_offset_of((Span(3, 1), Span(4, 2, GapReason.MARKER), Span(6, 5)), 1) == 6


def test_where_the_clocks_differ_the_record_furthest_out_is_named() -> None:
    batch = batch_of([-1, NOW, NOW - 900, NOW + 20])
    assert first_refused(parse_header(batch), batch, LIMITS.window(NOW), DEFAULT_LIMITS) == (3, NOW + 20)
