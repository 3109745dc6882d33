from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mesh.batch.errors import LogUnreadable
from mesh.batch.header import HEADER_BYTES, LENGTH_END, MAGIC_AT, Codec, epoch_before, parse_header, split
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Buffer
from mesh.batch.validate import validate
from mesh.lanes.export import cut, segments
from mesh.log import Fetched, LogRange
from mesh.segment import Segment
from mesh.spans import GapReason, Span, merge, tiles
from tests.support.old_messages import OLD_OFFSETS, OLD_SETS, Key
from tests.support.records import resealed
from tests.support.source_log import ABORT, COMMIT, SourceLog, source_logs

ALL = 1 << 30
HOLE, MARKER, ABORTED = GapReason.COMPACTED, GapReason.MARKER, GapReason.ABORTED


def taken(fetched: Fetched, position: int, max_bytes: int = ALL) -> Segment:
    segment = cut(fetched, position, 7, max_bytes)
    assert segment is not None
    return segment


def contents(batches: Iterable[Buffer]) -> list[Record]:
    return [
        record._replace(offset_delta=0)
        for batch in batches
        for record in records_of(validate(memoryview(batch), DEFAULT_LIMITS), memoryview(batch)[HEADER_BYTES:])
    ]


def expected(log: SourceLog, first: int, end: int) -> tuple[tuple[Span, ...], list[Record]]:
    offsets = range(first, end)
    spans = merge(Span(offset, 1, None if offset in log.visible else log.gaps[offset]) for offset in offsets)
    return spans, [log.visible[offset]._replace(offset_delta=0) for offset in offsets if offset in log.visible]


def holding(log: SourceLog, position: int) -> int:
    """The batch a broker's answer to `position` begins with: the one that holds it, or the next."""
    return bisect_right([batch.next_offset for batch in log.batches], position)


def whole_end(log: SourceLog, index: int, data_bytes: int) -> int:
    """The end of the last batch of an answer that is whole and stable."""
    end, size = -1, 0
    for batch in log.batches[index:]:
        size += len(batch.data)
        if size > data_bytes or batch.next_offset > log.last_stable:
            break
        end = batch.next_offset
    return end


@settings(max_examples=150)
@given(log=source_logs(), data=st.data())
def test_a_segment_tells_of_every_offset_and_holds_exactly_the_visible_records(
    log: SourceLog, data: st.DataObject
) -> None:
    assume(log.batches)
    position = data.draw(st.integers(0, log.end))
    index = holding(log, position)
    # the first batch always comes whole
    loose = sum(len(batch.data) for batch in log.batches[index + 1 :])
    answer = log.answer(index, data.draw(st.integers(0, loose)))
    end = whole_end(log, index, len(answer.data))
    if end <= position:
        assert cut(answer, position, 7, ALL) is None
        return
    segment = taken(answer, position)
    spans, records = expected(log, position, end)
    assert tiles(segment.spans, position, segment.next_source_offset)
    assert (segment.first_source_offset, segment.next_source_offset, segment.first_ordinal) == (position, end, 7)
    assert segment.spans == spans
    assert contents(segment.batches) == records
    assert segment.record_count == len(records)
    assert segment.source_timestamp_ms == max((record.timestamp_ms for record in records), default=-1)


@given(log=source_logs(), data=st.data())
def test_where_answers_and_segments_are_cut_changes_nothing(log: SourceLog, data: st.DataObject) -> None:
    assume(log.batches and log.batches[0].next_offset <= log.last_stable)
    position, spans, batches = 0, list[Span](), list[Buffer]()
    while (segment := cut(log.answer(holding(log, position)), position, 0, data.draw(st.integers(1, 400)))) is not None:
        spans += segment.spans
        batches += segment.batches
        position = segment.next_source_offset
    assert position == whole_end(log, 0, ALL)
    assert (merge(spans), contents(batches)) == expected(log, 0, position)


@given(log=source_logs())
def test_plain_batches_leave_as_views_of_the_answer(log: SourceLog) -> None:
    assume(log.batches and log.batches[0].next_offset <= log.last_stable)
    answer = log.answer(0)
    views = [bytes(batch) for batch in taken(answer, 0).batches if isinstance(batch, memoryview)]
    assert all(batch.obj is answer.data.obj for batch in taken(answer, 0).batches if isinstance(batch, memoryview))
    plain = [
        batch.data
        for batch in log.batches
        if batch.is_plain and batch.base_offset in log.visible and batch.next_offset <= log.last_stable
    ]
    assert views == plain


def with_epochs(answer: Fetched) -> Fetched:
    """The same answer, each batch of a leader epoch of its own."""
    data, at = bytearray(answer.data), 0
    for number, (_, batch) in enumerate(split(answer.data)):
        data[at + LENGTH_END : at + MAGIC_AT] = number.to_bytes(4, "big")
        at += len(batch)
    return replace(answer, data=memoryview(data))


@given(log=source_logs(), max_bytes=st.integers(1, 600), data=st.data())
def test_an_answer_leaves_piece_by_piece_joined_or_not_with_the_same_bytes(
    log: SourceLog, max_bytes: int, data: st.DataObject
) -> None:
    assume(log.batches and log.batches[0].next_offset <= log.last_stable)
    position = data.draw(st.integers(0, max(0, log.batches[0].next_offset - 1)))
    answer = with_epochs(log.answer(0))
    apart = list(segments(answer, position, 3, max_bytes))
    joined = list(segments(answer, position, 3, max_bytes, joined=True))
    assert [b"".join(segment.batches) for segment in joined] == [b"".join(segment.batches) for segment in apart]
    bare = [[replace(segment, batches=()) for segment in each] for each in (joined, apart)]
    assert bare[0] == bare[1]
    end = whole_end(log, 0, ALL)
    spans = merge(span for segment in joined for span in segment.spans)
    batches = [batch for segment in joined for entry in segment.batches for _, batch in split(memoryview(entry))]
    assert (spans, contents(batches)) == expected(log, position, end)
    for segment in joined:
        assert segment.leader_epoch == epoch_before(answer.data, segment.next_source_offset)


def test_batches_that_follow_each_other_are_one_entry_where_they_may_be_joined() -> None:
    log = SourceLog()
    for records in (1, 2, 1):
        log.append(list(range(records)), records, codec=Codec.LZ4)
    log.append([0, 2], 3)
    log.append([0], 1)
    answer = log.answer(0)
    (segment,) = segments(answer, 0, 0, ALL, joined=True)
    sizes = [len(batch.data) for batch in log.batches]
    assert [len(entry) for entry in segment.batches][::2] == [sum(sizes[:3]), sizes[4]]
    assert isinstance(segment.batches[0], memoryview)
    assert segment.batches[0].obj is answer.data.obj


def transactions() -> SourceLog:
    """Offsets 0-2 of producer 1 aborted at 3, 4-5 of producer 2 open, 6 plain, 7 of producer 1 committed at 8."""
    log = SourceLog()
    log.append([0, 1, 2], 3, producer_id=1)
    log.mark(1, ABORT)
    log.append([0, 1], 2, producer_id=2)
    log.append([0], 1)
    log.append([0], 1, producer_id=1)
    log.mark(1, COMMIT)
    return log


def test_nothing_leaves_at_or_above_the_last_stable_offset() -> None:
    log = transactions()
    segment = taken(log.answer(0), 0)
    assert segment.spans == (Span(0, 3, ABORTED), Span(3, 1, MARKER))
    assert (segment.batches, segment.source_timestamp_ms) == ((), -1)
    assert cut(log.answer(2), 4, 0, ALL) is None


def test_an_abort_holds_for_its_transaction_and_not_for_the_producers_next() -> None:
    log = transactions()
    log.mark(2, ABORT)
    spans = (Span(0, 3, ABORTED), Span(3, 1, MARKER), Span(4, 2, ABORTED), Span(6, 2), Span(8, 2, MARKER))
    assert taken(log.answer(0), 0).spans == spans
    assert taken(log.answer(2), 5).spans == (Span(5, 1, ABORTED), *spans[3:])


def test_a_position_within_a_batch_drops_the_records_below_it() -> None:
    log = SourceLog()
    log.append([0, 1, 2, 3], 4, codec=Codec.LZ4)
    segment = taken(log.answer(0), 2)
    assert segment.spans == (Span(2, 2),)
    assert [record.key for record in contents(segment.batches)] == [b"2", b"3"]
    assert parse_header(segment.batches[0]).codec == Codec.LZ4


def test_append_time_becomes_the_records_own_time() -> None:
    log = SourceLog()
    log.append([0, 1], 2, append_time=True)
    segment = taken(log.answer(0), 0)
    header = parse_header(segment.batches[0])
    assert not header.is_log_append_time
    assert {record.timestamp_ms for record in contents(segment.batches)} == {header.max_timestamp_ms}
    assert segment.source_timestamp_ms == header.max_timestamp_ms


def test_at_least_one_batch_leaves_however_small_the_budget() -> None:
    log = SourceLog()
    log.skip(5)
    for _ in range(3):
        log.append([0], 1)
    size = len(log.batches[0].data)
    assert taken(log.answer(0), 0, 1).spans == (Span(0, 5, HOLE), Span(5, 1))
    assert taken(log.answer(0), 0, 2 * size).spans == (Span(0, 5, HOLE), Span(5, 2))
    assert taken(log.answer(0), 0, 3 * size - 1).size_bytes == 2 * size


def test_no_answer_is_no_segment() -> None:
    assert cut(Fetched(memoryview(b""), (), LogRange(0, 9, 9)), 9, 0, ALL) is None


def damaged() -> tuple[SourceLog, Fetched]:
    log = SourceLog()
    log.append([0], 1)
    log.append([0, 1], 2)
    data = bytearray(log.answer(0).data)
    data[-1] ^= 1
    return log, Fetched(memoryview(data), (), log.answer(0).range)


def test_what_lies_before_damage_leaves_first() -> None:
    _, answer = damaged()
    assert taken(answer, 0).spans == (Span(0, 1),)
    for position in (1, 2):
        with pytest.raises(LogUnreadable, match=r"offset 1: a batch has CRC"):
            cut(answer, position, 0, ALL)


def test_a_damaged_old_message_stops_the_lane_at_its_offset() -> None:
    log, _ = damaged()
    old = (3).to_bytes(8, "big") + (22).to_bytes(4, "big") + bytes(4) + b"\1" + bytes(17)
    answer = Fetched(memoryview(bytes(log.answer(0).data) + old), (), LogRange(0, 9, 9))
    assert taken(answer, 0).next_source_offset == 3
    with pytest.raises(LogUnreadable, match="offset 3"):
        cut(answer, 3, 0, ALL)


@pytest.mark.parametrize("key", OLD_SETS, ids=str)
@pytest.mark.parametrize("position", [30, 40, 41, 42, 44])
def test_old_messages_leave_as_dense_batches_with_their_holes_as_gaps(key: Key, position: int) -> None:
    segment = taken(Fetched(memoryview(OLD_SETS[key]), (), LogRange(0, 45, 45)), position)
    offsets = [offset for offset in OLD_OFFSETS if offset >= position]
    told = [offset for span in segment.spans if span.reason is None for offset in range(span.source_offset, span.end)]
    assert told == offsets
    assert {span.reason for span in segment.spans} <= {None, GapReason.COMPACTED}
    assert segment.next_source_offset == 45
    headers = [header for batch in segment.batches for header, _ in split(memoryview(batch))]
    assert all(header.is_dense for header in headers)
    assert sum(header.records_count for header in headers) == len(offsets)


def test_poison_and_bombs_of_our_own_log_are_the_operators() -> None:
    log = SourceLog()
    log.append([0, 2], 3, codec=Codec.ZSTD)
    with pytest.raises(LogUnreadable, match="need more space"):
        cut(log.answer(0), 0, 0, ALL, Limits(max_uncompressed_bytes=10))
    broken = resealed(log.batches[0].data[:-2])
    with pytest.raises(LogUnreadable, match="ends early") as caught:
        cut(Fetched(memoryview(broken), (), LogRange(0, 9, 9)), 0, 0, ALL)
    assert caught.value.actor == "operator"


def test_an_answer_without_a_whole_batch_is_no_silence() -> None:
    log = SourceLog()
    log.append([0], 1)
    with pytest.raises(LogUnreadable, match="no whole batch"):
        cut(log.answer(0, 1), 0, 0, ALL)


def test_batches_out_of_order_are_refused() -> None:
    log = SourceLog()
    log.append([0, 1], 2)
    doubled = Fetched(memoryview(log.batches[0].data * 2), (), LogRange(0, 9, 9))
    with pytest.raises(LogUnreadable, match="begins below 2"):
        cut(doubled, 2, 0, ALL)


@given(log=source_logs(), data=st.data())
def test_any_bytes_give_a_segment_or_a_documented_error(log: SourceLog, data: st.DataObject) -> None:
    answer = bytearray(log.answer(0).data)
    for _ in range(data.draw(st.integers(0, 3))):
        if answer:
            answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    position = data.draw(st.integers(0, log.end + 1))
    try:
        segment = cut(
            Fetched(memoryview(answer), (), LogRange(0, ALL, ALL)), position, 0, data.draw(st.integers(0, 500))
        )
    except LogUnreadable:
        return
    if segment is not None:
        assert tiles(segment.spans, position, segment.next_source_offset)
        assert segment.record_count == sum(parse_header(batch).records_count for batch in segment.batches)
