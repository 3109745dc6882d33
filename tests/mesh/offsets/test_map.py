"""The laws of the offset map, against a dict that says the same the slow way."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.offsets.answers import After, Answer, Before, Exact, Foreign, Gap, InGap, Run
from mesh.offsets.errors import IllegalOffset, OffsetMapDamaged
from mesh.offsets.map import OffsetMap
from mesh.spans import GapReason

Step = tuple[int, int, GapReason | None]
"""How many offsets, how many foreign records come before them at the destination, the reason of a gap."""

STEPS = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([0, 0, 0, 1, 3]), st.sampled_from([None, None, *GapReason])),
    max_size=25,
)
STARTS = st.tuples(st.integers(0, 20), st.integers(0, 20))


class Naive:
    """A dict from each source offset to its copy, or to the reason why it has none."""

    def __init__(self, starts: tuple[int, int], steps: list[Step]) -> None:
        self.start, self.destination_start = starts
        self.entries: dict[int, int | GapReason] = {}
        source, destination = starts
        for count, foreign, reason in steps:
            destination += foreign if reason is None else 0
            for _ in range(count):
                self.entries[source] = destination if reason is None else reason
                destination += reason is None
                source += 1
        self.position = source
        self.copies = {copy: source for source, copy in self.entries.items() if not isinstance(copy, GapReason)}
        self.destination_offset = max(self.copies, default=starts[1] - 1) + 1

    def translate(self, offset: int) -> Answer:
        if offset < self.start:
            return Before(self.start)
        if offset >= self.position:
            return After(self.position)
        entry = self.entries[offset]
        if not isinstance(entry, GapReason):
            return Exact(entry)
        return InGap(entry, next((copy for copy, source in self.copies.items() if source > offset), None))

    def translate_back(self, offset: int) -> Answer:
        if offset < self.destination_start:
            return Before(self.destination_start)
        if offset >= self.destination_offset:
            return After(self.destination_offset)
        if offset in self.copies:
            return Exact(self.copies[offset])
        return Foreign(next(source for copy, source in self.copies.items() if copy > offset))


def build(starts: tuple[int, int], steps: list[Step], cut: int = 1 << 30) -> OffsetMap:
    """The map of the steps, fed in pieces of at most `cut` offsets."""
    offset_map = OffsetMap(*starts)
    destination = starts[1]
    for count, foreign, reason in steps:
        destination += foreign if reason is None else 0
        while count:
            piece = min(cut, count)
            if reason is None:
                offset_map.add_records(offset_map.position, destination, piece)
                destination += piece
            else:
                offset_map.add_gap(offset_map.position, piece, reason)
            count -= piece
    return offset_map


@settings(deadline=None)
@given(STARTS, STEPS)
def test_every_offset_has_the_one_answer_of_the_naive_map_both_ways(starts: tuple[int, int], steps: list[Step]) -> None:
    offset_map, naive = build(starts, steps), Naive(starts, steps)
    assert offset_map.position == naive.position
    for offset in range(naive.position + 3):
        assert offset_map.translate(offset) == naive.translate(offset)
    for offset in range(naive.destination_offset + 3):
        assert offset_map.translate_back(offset) == naive.translate_back(offset)


@settings(deadline=None)
@given(STARTS, STEPS)
def test_order_is_kept_and_back_again_is_the_same_record(starts: tuple[int, int], steps: list[Step]) -> None:
    offset_map = build(starts, steps)
    answers = [(offset, offset_map.translate(offset)) for offset in range(offset_map.start, offset_map.position)]
    copies = [(offset, answer.offset) for offset, answer in answers if isinstance(answer, Exact)]
    assert all(one[1] < other[1] for one, other in pairwise(copies))
    assert all(offset_map.translate_back(copy) == Exact(offset) for offset, copy in copies)


@settings(deadline=None)
@given(STARTS, STEPS)
def test_a_translated_position_never_skips_a_record(starts: tuple[int, int], steps: list[Step]) -> None:
    offset_map, naive = build(starts, steps), Naive(starts, steps)
    for asked in range(offset_map.start, offset_map.position):
        answer = offset_map.translate(asked)
        landed = answer.offset if isinstance(answer, Exact) else answer.next_offset  # type: ignore[union-attr]
        copies = [copy for copy, source in naive.copies.items() if source >= asked]
        assert landed == min(copies, default=None)


@settings(deadline=None)
@given(STARTS, STEPS, st.integers(1, 4))
def test_feeding_it_in_other_pieces_gives_the_same_map(starts: tuple[int, int], steps: list[Step], cut: int) -> None:
    whole, pieces = build(starts, steps), build(starts, steps, cut)
    assert pieces == whole
    assert pieces.breaks_since(0) == whole.breaks_since(0)


@settings(deadline=None)
@given(STARTS, STEPS, st.integers(1, 5))
def test_what_is_stored_loads_as_the_same_map(starts: tuple[int, int], steps: list[Step], size: int) -> None:
    original = build(starts, steps)
    packed = original.breaks_since(0)
    pieces = [packed[at : at + 16 * size] for at in range(0, len(packed), 16 * size)]
    loaded = OffsetMap.load(original.start, pieces, original.position, original.destination_start)
    assert loaded == original
    assert loaded.records == original.records
    assert list(loaded.runs()) == list(original.runs())
    loaded.add_records(loaded.position, loaded.destination_offset, 2)
    original.add_records(original.position, original.destination_offset, 2)
    assert loaded == original


@settings(deadline=None)
@given(STARTS, STEPS, st.integers(0, 80))
def test_trimming_keeps_every_answer_from_there_on(starts: tuple[int, int], steps: list[Step], before: int) -> None:
    trimmed, whole = build(starts, steps), build(starts, steps)
    trimmed.trim(before)
    assert trimmed.start <= max(before, starts[0])
    assert trimmed.records == sum(run.length for run in trimmed.runs())
    for offset in range(whole.position + 2):
        forgotten = whole.start <= offset < trimmed.start or offset < whole.start
        assert trimmed.translate(offset) == (Before(trimmed.start) if forgotten else whole.translate(offset))
    for offset in range(whole.destination_offset + 2):
        forgotten = offset < trimmed.destination_start
        expected = Before(trimmed.destination_start) if forgotten else whole.translate_back(offset)
        assert trimmed.translate_back(offset) == expected
    again = OffsetMap.load(
        trimmed.start, [trimmed.breaks_since(0)], trimmed.position, trimmed.destination_start, trimmed.first_break
    )
    assert again == trimmed


@settings(deadline=None)
@given(STARTS, STEPS)
def test_runs_and_gaps_tile_the_map(starts: tuple[int, int], steps: list[Step]) -> None:
    offset_map = build(starts, steps)
    parts = sorted(
        [(run.source_offset, run.length) for run in offset_map.runs()]
        + [(gap.source_offset, gap.length) for gap in offset_map.gaps()]
    )
    position = offset_map.start
    for source_offset, length in parts:
        assert source_offset == position
        position += length
    assert position == offset_map.position


@pytest.mark.parametrize("stretch", [1, 1 << 34])
def test_answers_are_right_across_sealed_chunks(stretch: int) -> None:
    offset_map = OffsetMap(0)
    for number in range(10_000):
        offset_map.add_records(offset_map.position, number * 7 * stretch, 3 * stretch)
        offset_map.add_gap(offset_map.position, 2 * stretch, GapReason.MARKER)
    for number in range(0, 9_999, 37):
        source, destination = number * 5 * stretch, number * 7 * stretch
        last = 3 * stretch - 1
        assert offset_map.translate(source + last) == Exact(destination + last)
        assert offset_map.translate(source + last + 1) == InGap(GapReason.MARKER, destination + 7 * stretch)
        assert offset_map.translate_back(destination + last) == Exact(source + last)
        assert offset_map.translate_back(destination + last + 1) == Foreign(source + 5 * stretch)
    copied = OffsetMap.load(0, [offset_map.breaks_since(0)], offset_map.position)
    assert copied == offset_map


def test_a_run_and_its_gap_take_at_most_32_bytes_of_memory() -> None:
    runs = 20_000
    tracemalloc.start()
    try:
        offset_map = OffsetMap(0)
        for number in range(runs):
            offset_map.add_records(offset_map.position, offset_map.destination_offset, 1 + number * 7919 % 5_000)
            offset_map.add_gap(offset_map.position, 1, GapReason.MARKER)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / runs <= 32


def test_trimming_gives_whole_chunks_back_and_keeps_indexes() -> None:
    offset_map = OffsetMap(0)
    for number in range(6_000):
        offset_map.add_records(2 * number, number, 1)
        offset_map.add_gap(2 * number + 1, 1, GapReason.COMPACTED)
    packed = offset_map.breaks_since(9_000)
    offset_map.trim(9_000)
    assert (offset_map.first_break, offset_map.end_break) == (9_000, 12_000)
    assert offset_map.breaks_since(9_000) == packed
    assert offset_map.translate(8_999) == Before(9_000)
    assert offset_map.translate(9_000) == Exact(4_500)
    assert offset_map.translate_back(4_499) == Before(4_500)
    loaded = OffsetMap.load(9_000, [packed], 12_000, 4_500, 9_000)
    loaded.add_records(12_000, 7_000, 1)
    offset_map.add_records(12_000, 7_000, 1)
    assert loaded == offset_map


def test_a_growing_run_makes_no_break_and_a_foreign_write_makes_one() -> None:
    offset_map = OffsetMap(10, 100)
    offset_map.add_records(10, 100, 5)
    offset_map.add_records(15, 105, 5)
    assert offset_map.end_break == 1
    offset_map.add_records(20, 112, 1)
    assert list(offset_map.runs()) == [Run(10, 100, 10), Run(20, 112, 1)]
    assert offset_map.translate_back(111) == Foreign(20)


def test_neighbouring_gaps_of_one_reason_are_one() -> None:
    offset_map = OffsetMap(0)
    offset_map.add_gap(0, 2, GapReason.LOST)
    offset_map.add_gap(2, 3, GapReason.LOST)
    offset_map.add_gap(5, 1, GapReason.MARKER)
    assert list(offset_map.gaps()) == [Gap(0, 5, GapReason.LOST), Gap(5, 1, GapReason.MARKER)]
    assert offset_map.translate(0) == InGap(GapReason.LOST, None)


def test_a_break_is_sixteen_bytes_big_endian_with_the_reason_in_the_top_byte() -> None:
    offset_map = OffsetMap(1)
    offset_map.add_records(1, 0x0203, 1)
    offset_map.add_gap(2, 1, GapReason.FILTERED)
    assert offset_map.breaks_since(0).hex() == "0000000000000001000000000000020300000000000000020400000000000204"


def test_repr_says_what_it_covers() -> None:
    assert repr(build((5, 9), [(3, 0, None)])) == "OffsetMap([5, 8) to [9, 12), 3 records, breaks 0 to 1)"


@pytest.mark.parametrize("offset", [-1, 1 << 56])
def test_an_offset_that_no_log_has_is_the_callers_mistake(offset: int) -> None:
    with pytest.raises(IllegalOffset, match="is not an offset"):
        OffsetMap(0).translate(offset)
    with pytest.raises(IllegalOffset):
        OffsetMap(0).translate_back(offset)


def words(*breaks: tuple[int, int, int]) -> bytes:
    return b"".join(s.to_bytes(8, "big") + (r << 56 | d).to_bytes(8, "big") for s, d, r in breaks)


@pytest.mark.parametrize(
    ("packed", "position", "why"),
    [
        (b"123", 1, "whole number"),
        (b"", 1, "no breaks"),
        (words((0, 0, 0)), 0, "out of order"),
        (words((1, 0, 0)), 5, "out of order"),
        (words((0, 0, 0), (0, 0, 1)), 5, "out of order"),
        (words((0, 5, 0), (2, 3, 0)), 5, "out of order"),
        (words((0, 0, 0), (2, 3, 1)), 5, "reason 1 at 3"),
        (words((0, 0, 9)), 5, "reason 9"),
        (words((0, 0, 0), (2, 2, 0)), 5, "the one before"),
        (words((0, 0, 1), (2, 0, 1)), 5, "the one before"),
        (words((0, 0, 0), (1 << 60, 3, 1)), 5, "out of order"),
        (words((0, (1 << 56) - 1, 0)), 5, "out of order"),
    ],
)
def test_breaks_that_no_lane_can_have_made_are_refused(packed: bytes, position: int, why: str) -> None:
    with pytest.raises(OffsetMapDamaged, match=why):
        OffsetMap.load(0, [packed], position)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=96), st.integers(0, 1 << 57))
def test_any_bytes_load_as_a_canonical_map_or_are_refused(packed: bytes, position: int) -> None:
    try:
        loaded = OffsetMap.load(0, [packed], position)
    except OffsetMapDamaged:
        return
    assert loaded.breaks_since(0) == packed


@settings(max_examples=200, deadline=None)
@given(STARTS, STEPS, STEPS, st.integers(0, 60), st.integers(0, 9))
def test_a_map_that_was_cut_back_is_one_that_never_went_so_far(
    starts: tuple[int, int], steps: list[Step], more: list[Step], offset: int, behind: int
) -> None:
    offset_map = build(starts, steps)
    whole = build(starts, steps)
    offset = min(offset, offset_map.position)
    beyond = offset_map.destination_offset + behind
    offset_map.cut_back(offset)
    shorter = OffsetMap(min(starts[0], offset), starts[1])
    for asked in range(starts[0], offset):
        answer = whole.translate(asked)
        if isinstance(answer, Exact):
            shorter.add_records(asked, answer.offset, 1)
        elif isinstance(answer, InGap):
            shorter.add_gap(asked, 1, answer.reason)
    assert offset_map == shorter
    assert offset_map.records == shorter.records
    # what is copied from there on goes behind what is in the log
    for each in (offset_map, shorter):
        each.add_records(offset, beyond, 2)
        each.add_gap(offset + 2, 1, GapReason.LOST)
    assert offset_map == shorter
    assert offset_map.translate(offset) == Exact(beyond)
    assert all(
        isinstance(offset_map.translate_back(d), Foreign | Before) for d in range(shorter_end(whole, offset), beyond)
    )


def shorter_end(whole: OffsetMap, offset: int) -> int:
    """Where the last copy before a source offset ends."""
    copies = [
        run.destination_offset + min(run.length, offset - run.source_offset)
        for run in whole.runs()
        if run.source_offset < offset
    ]
    return max(copies, default=whole.destination_start)


def test_a_map_of_many_chunks_may_be_cut_anywhere() -> None:
    offset_map = OffsetMap(0)
    for _ in range(9000):
        offset_map.add_records(offset_map.position, offset_map.destination_offset, 1)
        offset_map.add_gap(offset_map.position, 1, GapReason.MARKER)
    for offset in (17_000, 8192, 8191, 4097, 4096, 3, 0):
        offset_map.cut_back(offset)
        assert (offset_map.position, offset_map.records) == (offset, (offset + 1) // 2)
        grown = OffsetMap(0)
        while grown.position < offset:
            if grown.position % 2:
                grown.add_gap(grown.position, 1, GapReason.MARKER)
            else:
                grown.add_records(grown.position, grown.destination_offset, 1)
        assert offset_map == grown
