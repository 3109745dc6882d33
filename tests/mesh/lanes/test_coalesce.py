"""What joining batches must not change, and what it must make of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, LENGTH_END, MAGIC_AT, Codec, parse_header
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Buffer, Producer, restamp, stamp
from mesh.batch.validate import sound, validate
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.coalesce import JOINED_BYTES, NOTHING_JOINED, Joining, Ready, coalesce
from mesh.lanes.progress import LaneProgress
from mesh.segment import Segment
from mesh.spans import GapReason, Span, merge
from tests.support.records import TIMESTAMP_MS, batch_of, body, framed, numbered, records, resealed

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
WIDE = Joining(JOINED_BYTES, 1 << 20, 1_000_000)
OURS = Producer(7, 0)


def batch(given: Sequence[Record], codec: int = Codec.NONE, epoch: int = 3) -> bytes:
    whole = encode(given, codec=codec)
    return whole[:LENGTH_END] + epoch.to_bytes(4, "big", signed=True) + whole[MAGIC_AT:]


def joined(entries: Iterable[Buffer], joining: Joining = WIDE) -> list[Ready]:
    return list(coalesce((each for entry in entries for each in sound(memoryview(entry), DEFAULT_LIMITS)), joining))


def content(batches: Iterable[bytes]) -> list[Record]:
    found = (
        record._replace(offset_delta=0) for each in batches for record in records_of(parse_header(each), each[61:])
    )
    return list(found)


def appended(ready: Iterable[Ready]) -> list[bytes]:
    stamped = [stamp(each.header, each.payload, OURS, 0) for each in ready]
    return [bytes(each.header) + bytes(each.payload) for each in stamped]


def plain(count: int, size: int = 100, at: int = 0) -> list[Record]:
    return [Record(delta, TIMESTAMP_MS + at + delta, None, bytes(size)) for delta in range(count)]


def as_in_a_log(given: list[bytes]) -> list[bytes]:
    """Leader epochs rise along it."""
    return sorted(given, key=lambda each: parse_header(each).leader_epoch)


some_batches = st.lists(
    st.builds(batch, records.map(numbered), st.sampled_from(list(Codec)), st.sampled_from([3, 3, 3, 4])), max_size=6
).map(as_in_a_log)
some_joinings = st.builds(
    Joining, st.sampled_from([0, 50, 300, JOINED_BYTES]), st.sampled_from([1400, 1 << 20]), st.sampled_from([3, 1000])
)


@settings(max_examples=40)
@given(some_batches, some_joinings)
def test_the_records_are_the_same_in_the_same_order_and_every_batch_is_sound(
    given: list[bytes], joining: Joining
) -> None:
    ready = joined(given, joining)
    batches = appended(ready)
    assert content(batches) == content(given)
    for each, stated in zip(batches, ready, strict=True):
        assert validate(memoryview(each), DEFAULT_LIMITS).records_count == stated.records_count
    assert sum(each.source_bytes for each in ready) == sum(map(len, given))
    assert sum(each.sources for each in ready) == len(given)


@settings(max_examples=40)
@given(some_batches, some_joinings)
def test_a_joined_batch_has_one_codec_and_one_epoch_and_keeps_the_latest_timestamp(
    given: list[bytes], joining: Joining
) -> None:
    left = list(given)
    for each in joined(given, joining):
        sources, left = left[: each.sources], left[each.sources :]
        headers = [parse_header(source) for source in sources]
        made = parse_header(each.batch)
        assert {(header.codec, header.leader_epoch) for header in headers} == {(made.codec, each.leader_epoch)}
        assert made.max_timestamp_ms == max(header.max_timestamp_ms for header in headers)
        assert made.base_timestamp_ms == headers[0].base_timestamp_ms


@settings(max_examples=40)
@given(some_batches, st.data())
def test_however_a_log_is_cut_into_segments_the_lane_and_its_map_are_the_same(
    given: list[bytes], data: st.DataObject
) -> None:
    spans: list[Span] = []
    at = 0
    for each in given:
        gap, count = data.draw(st.integers(0, 2)), parse_header(each).records_count
        if gap:
            spans.append(Span(at, gap, GapReason.MARKER))
        spans.append(Span(at + gap, count))
        at += gap + count
    cuts = sorted(data.draw(st.sets(st.integers(0, len(given)), max_size=3)) | {0, len(given)})
    plainly = _run(given, spans, [0, len(given)] if given else [0], NOTHING_JOINED)
    assert _run(given, spans, cuts, WIDE) == plainly


def _run(given: list[bytes], spans: list[Span], cuts: list[int], joining: Joining) -> tuple[object, ...]:
    """What the log and the map hold once the batches have come, in segments that begin at `cuts`."""
    progress = LaneProgress.begin(LANE, TopicId("0" * 32), 0, 100, OURS)
    ordinal = position = end = 0
    log: list[bytes] = []
    gaps = iter(spans)
    for first, after in pairwise(cuts):
        mine: list[Span] = []
        for _ in given[first:after]:
            mine.append(next(gaps))
            if mine[-1].reason is not None:
                mine.append(next(gaps))
        if not mine:
            continue
        end = mine[-1].end
        segment = Segment(position, end, ordinal, merge(mine), tuple(given[first:after]), leader_epoch=5)
        ready = joined(segment.batches, joining)
        for placement in progress.accept(segment, [each.records_count for each in ready]):
            assert placement.batch is not None
            log += appended([ready[placement.batch]])
            progress.placed(placement, progress.expected(placement))
        ordinal, position = ordinal + segment.record_count, end
    runs, gaps_known = list(progress.map.runs()), list(progress.map.gaps())
    return content(log), progress.position, progress.ordinal, progress.destination_offset, runs, gaps_known


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD])
def test_what_is_small_becomes_one(codec: Codec) -> None:
    (one,) = joined(batch(plain(1, at=number), codec) for number in range(200))
    assert (one.records_count, one.sources, parse_header(one.batch).codec) == (200, 200, codec)
    assert len(one.payload) < 200 * 120


def test_several_batches_in_one_entry_are_as_several_entries() -> None:
    given = [batch(plain(2, at=number), Codec.LZ4) for number in range(9)]
    assert appended(joined([b"".join(given)])) == appended(joined(given))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([batch(plain(2), Codec.GZIP)] * 3, "gzip costs more than it saves"),
        ([batch(plain(2), Codec.LZ4), batch(plain(2)), batch(plain(2), Codec.ZSTD)], "other codecs"),
        ([batch(plain(2), epoch=4), batch(plain(2), epoch=5)], "other epochs"),
        ([batch(plain(3, 50_000))] * 2, "they are not small"),
        ([batch([Record(0, -(1 << 62) - 1, None, b"v")]), batch([Record(0, 1 << 62, None, b"v")])], "too far apart"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stays_as_it_is(given: list[bytes], why: str) -> None:
    assert appended(joined(given)) == [bytes(restamp(each, OURS, 0).header) + each[HEADER_BYTES:] for each in given]


def test_what_its_producer_compressed_much_better_stays_as_it_is() -> None:
    chance = Random(3)

    def thorough() -> bytes:
        text = bytes(chance.choices(b"abcd", k=20_000))
        payload = framed(body(Record(0, TIMESTAMP_MS, None, text)))
        frame = lz4.frame.compress(payload, compression_level=12, block_linked=False)
        return resealed(batch_of(b"", 1, attributes=Codec.LZ4) + frame)

    given = [thorough() for _ in range(10)]
    assert [each.sources for each in joined(given)] == [1] * 10


def test_a_joined_batch_stays_below_what_the_log_takes() -> None:
    given = [batch(plain(10, 90, at=number)) for number in range(100)]
    for largest in (1_000, 5_000, 20_000, 1 << 20):
        ready = joined(given, Joining(JOINED_BYTES, largest, 1_000_000))
        assert all(each.sources == 1 or len(each.batch) < largest for each in ready)
        assert (len(ready) < 100) == (largest > 5_000 or largest == 5_000)


def test_neighbours_alone_are_joined() -> None:
    small, large = batch(plain(1)), batch(plain(3, 60_000))
    ready = joined([small, small, large, small, small, small])
    assert [each.sources for each in ready] == [2, 1, 3]
