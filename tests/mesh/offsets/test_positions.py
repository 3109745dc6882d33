"""The laws of translated positions, against the sets of records that they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.offsets.errors import IllegalOffset
from mesh.offsets.map import OffsetMap
from mesh.offsets.positions import PositionKind, TranslatedPosition, to_destination, to_source
from mesh.offsets.view import OffsetView
from mesh.spans import GapReason

STEPS = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([0, 0, 0, 2]), st.sampled_from([None, None, None, *GapReason])),
    max_size=20,
)
STARTS = st.tuples(st.integers(0, 9), st.integers(0, 9))


class Lane:
    """A lane's view and, the slow way, the copies that are acknowledged: source offset to destination offset."""

    def __init__(
        self, starts: tuple[int, int], steps: list[tuple[int, int, GapReason | None]], unacknowledged: int
    ) -> None:
        offset_map = OffsetMap(*starts)
        copies: dict[int, int] = {}
        extents = [starts]
        destination = starts[1]
        for count, foreign, reason in steps:
            if reason is not None:
                offset_map.add_gap(offset_map.position, count, reason)
            else:
                destination += foreign
                copies |= {offset_map.position + at: destination + at for at in range(count)}
                offset_map.add_records(offset_map.position, destination, count)
                destination += count
            extents.append((offset_map.position, destination))
        position, end = extents[-1 - min(unacknowledged, len(extents) - 1)]
        self.view = OffsetView(offset_map, position, end)
        self.copies = {source: copy for source, copy in copies.items() if source < position}

    def unread(self, position: int) -> set[int]:
        """The records, by source offset, that a reader at a source position has still to read."""
        return {source for source in self.copies if source >= position}

    def unread_copies(self, position: int) -> set[int]:
        """The same for a reader at a destination position."""
        return {source for source, copy in self.copies.items() if copy >= position}


lanes = st.builds(Lane, STARTS, STEPS, st.integers(0, 3))
law = settings(max_examples=150, deadline=None)


@law
@given(lanes)
def test_forward_neither_skips_a_record_nor_reads_one_again(lane: Lane) -> None:
    for position in range(lane.view.start, lane.view.position + 1):
        found = to_destination(lane.view, position)
        assert found.position is not None
        assert lane.unread_copies(found.position) == lane.unread(position)


@law
@given(lanes)
def test_back_neither_skips_a_record_nor_reads_one_again(lane: Lane) -> None:
    for position in range(lane.view.destination_start, lane.view.destination_offset + 1):
        found = to_source(lane.view, position)
        assert found.position is not None
        assert lane.unread(found.position) == lane.unread_copies(position)


@law
@given(lanes)
def test_there_and_back_reads_the_same_records(lane: Lane) -> None:
    for position in range(lane.view.start, lane.view.position + 1):
        there = to_destination(lane.view, position)
        assert there.position is not None
        back = to_source(lane.view, there.position)
        assert back.position is not None
        assert lane.unread(back.position) == lane.unread(position)
        assert to_destination(lane.view, back.position).position == there.position


@law
@given(lanes)
def test_order_is_kept_both_ways(lane: Lane) -> None:
    view = lane.view
    forward = [to_destination(view, at).position or 0 for at in range(view.start, view.position + 1)]
    back = [to_source(view, at).position or 0 for at in range(view.destination_start, view.destination_offset + 1)]
    assert forward == sorted(forward)
    assert back == sorted(back)


@law
@given(lanes)
def test_outside_of_the_map_there_is_a_reason_and_no_answer(lane: Lane) -> None:
    view = lane.view
    beyond, before = TranslatedPosition(PositionKind.BEYOND, None), TranslatedPosition(PositionKind.BEFORE, None)
    assert to_destination(view, view.position + 1) == beyond
    assert to_source(view, view.destination_offset + 1) == beyond
    for position in range(view.start):
        assert to_destination(view, position) == before
    for position in range(view.destination_start):
        assert to_source(view, position) == before


def test_every_kind_of_answer() -> None:
    offset_map = OffsetMap(10, 100)
    offset_map.add_records(10, 100, 2)
    offset_map.add_gap(12, 3, GapReason.ABORTED)
    offset_map.add_records(15, 104, 1)  # somebody else wrote 102 and 103
    offset_map.add_gap(16, 1, GapReason.MARKER)
    view = OffsetView(offset_map, 17, 105)
    assert to_destination(view, 11) == (PositionKind.EXACT, 101, "")
    assert to_destination(view, 12) == (PositionKind.GAP, 104, "aborted")
    assert to_destination(view, 16) == (PositionKind.GAP, 105, "marker")
    assert to_destination(view, 17) == (PositionKind.END, 105, "")
    assert to_source(view, 103) == (PositionKind.FOREIGN, 15, "")
    assert to_source(view, 104) == (PositionKind.EXACT, 15, "")
    assert to_source(view, 105) == (PositionKind.END, 17, "")


def test_a_copy_after_a_gap_that_is_not_acknowledged_is_waited_for_where_the_copies_end() -> None:
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 5)
    offset_map.add_gap(5, 2, GapReason.MARKER)
    offset_map.add_records(7, 9, 3)
    assert to_destination(OffsetView(offset_map, 7, 5), 6) == (PositionKind.GAP, 5, "marker")


def test_no_offset_is_refused() -> None:
    view = OffsetView(OffsetMap(0), 0, 0)
    with pytest.raises(IllegalOffset):
        to_destination(view, -1)
