"""What waits to be written: fewer frames that say the same."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mesh.link.frames import Acknowledgement, Credit, Frame, Heartbeat, LaneStatus
from mesh.link.outgoing import DataQueue, coalesce
from mesh.segment import Segment
from mesh.spans import Span

lanes = st.integers(0, 3)
some_frames = st.lists(
    st.builds(Credit, lanes, st.integers(0, 100))
    | st.builds(Acknowledgement, lanes, st.integers(0, 100))
    | st.builds(Heartbeat, st.integers(0, 1000))
    | st.builds(LaneStatus, lanes, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
)


def credits_of(frames: list[Frame]) -> Counter[int]:
    found: Counter[int] = Counter()
    for frame in frames:
        if isinstance(frame, Credit):
            found[frame.lane] += frame.size_bytes
    return found


def acknowledged(frames: list[Frame]) -> dict[int, int]:
    return {frame.lane: frame.source_offset for frame in frames if isinstance(frame, Acknowledgement)}


def others(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if not isinstance(frame, Credit | Acknowledgement)]


@given(some_frames)
def test_coalescing_changes_neither_credit_nor_acknowledgements_nor_the_order_of_the_rest(frames: list[Frame]) -> None:
    fewer = coalesce(list(frames))
    assert credits_of(fewer) == credits_of(frames)
    assert acknowledged(fewer) == acknowledged(frames)
    assert others(fewer) == others(frames)
    assert len(fewer) - len(others(fewer)) <= 2 * 4
    assert coalesce(list(fewer)) == fewer


def segment(size_bytes: int) -> Segment:
    return Segment(0, 1, 0, (Span(0, 1),), (b"b" * size_bytes,))


@given(st.lists(st.tuples(lanes, st.integers(0, 300))), st.integers(1, 1000))
def test_a_queue_gives_frames_in_order_and_no_fuller_than_asked(added: list[tuple[int, int]], frame_bytes: int) -> None:
    queue = DataQueue()
    taken: list[tuple[int, Segment]] = []
    for lane, size_bytes in added:
        queue.add(lane, segment(size_bytes))
    assert queue.size_bytes == sum(segment(size).weight_bytes for _, size in added)
    while queue:
        data = queue.take(frame_bytes)
        weight = sum(each.weight_bytes for _, each in data.segments)
        assert len(data.segments) == 1 or weight <= frame_bytes
        taken += data.segments
    assert [(lane, each.size_bytes) for lane, each in taken] == added
    assert queue.size_bytes == 0


@given(st.lists(st.tuples(lanes, st.integers(0, 300))), lanes)
def test_dropping_a_lane_leaves_the_others_as_they_are(added: list[tuple[int, int]], dropped: int) -> None:
    queue = DataQueue()
    for lane, size_bytes in added:
        queue.add(lane, segment(size_bytes))
    queue.drop(dropped)
    left = [(lane, size) for lane, size in added if lane != dropped]
    assert queue.size_bytes == sum(segment(size).weight_bytes for _, size in left)
    assert len(queue) == len(left)
