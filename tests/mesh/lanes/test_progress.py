"""The importer's bookkeeping: segments in, placements out, and what a crash leaves."""

from __future__ import annotations

import pytest

from mesh.batch.stamp import SEQUENCES, Producer
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, load_lane
from mesh.lanes.placement import Placement
from mesh.lanes.progress import Folded, LaneProgress
from mesh.lanes.recovery import FreezeReason, LaneFrozen, Placed, Resume
from mesh.offsets.answers import Exact, Gap, Run
from mesh.offsets.map import OffsetMap
from mesh.segment import Segment, SegmentOutOfLine
from mesh.spans import GapReason, Span

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
TOPIC = TopicId("0" * 32)
MARKER, ABORTED = GapReason.MARKER, GapReason.ABORTED


def begin(start: int = 0, destination_start: int = 0) -> LaneProgress:
    return LaneProgress.begin(LANE, TOPIC, start, destination_start, Producer(7, 0))


def segment(first: int, *spans: tuple[int, GapReason | None], ordinal: int = 0, batches: int = 1) -> Segment:
    tiled, position = [], first
    for length, reason in spans:
        tiled.append(Span(position, length, reason))
        position += length
    return Segment(first, position, ordinal, tuple(tiled), (b"batch",) * batches)


def test_a_dense_segment_is_one_placement_per_batch() -> None:
    progress = begin(10)
    assert progress.accept(segment(10, (7, None), batches=2), [4, 3]) == [
        Placement(0, 0, 0, 4, (Span(10, 4),)),
        Placement(1, 4, 4, 3, (Span(14, 3),)),
    ]
    assert progress.in_flight == 7


def test_gaps_before_records_go_with_them_and_the_rest_with_the_last_batch() -> None:
    progress = begin()
    spans = (2, MARKER), (3, None), (1, MARKER), (4, None), (2, ABORTED), (1, MARKER)
    placements = progress.accept(segment(0, *spans, batches=2), [5, 2])
    assert [placement.spans for placement in placements] == [
        (Span(0, 2, MARKER), Span(2, 3), Span(5, 1, MARKER), Span(6, 2)),
        (Span(8, 2), Span(10, 2, ABORTED), Span(12, 1, MARKER)),
    ]
    assert [placement.end for placement in placements] == [8, 13]


def test_a_segment_of_gaps_alone_is_one_placement_without_a_batch() -> None:
    progress = begin(0, 50)
    (placement,) = progress.accept(segment(0, (2, MARKER), (3, ABORTED), batches=0), [])
    assert (placement.batch, placement.missing, placement.end) == (None, 0, 5)
    assert progress.placed(placement) == Folded(0, 2)
    assert (progress.position, progress.ordinal, progress.destination_offset) == (5, 0, 50)


def test_a_segment_of_nothing_is_nothing_to_do() -> None:
    assert begin(4).accept(Segment(4, 4, 0, (), ()), []) == []


def test_sequences_follow_the_lanes_ordinals_and_wrap_while_the_segment_counts_from_the_opening() -> None:
    offset_map = OffsetMap(0)
    progress = LaneProgress(LANE, checkpoint_of(offset_map, TOPIC, 2 * SEQUENCES - 3, 0, Producer(7, 0)), offset_map)
    first, second = progress.accept(segment(0, (6, None), batches=2), [5, 1])
    assert (first.base_sequence, second.base_sequence, second.first_ordinal) == (SEQUENCES - 3, 2, 2 * SEQUENCES + 2)
    progress.accept(segment(6, (1, None), ordinal=6), [1])


@pytest.mark.parametrize(
    ("wrong", "counts", "why"),
    [
        (segment(9, (3, None)), [3], "begins at source offset 9, expected was 10"),
        (segment(11, (3, None)), [3], "begins at source offset 11"),
        (segment(10, (3, None), ordinal=1), [3], "begins at ordinal 1, expected was 0"),
        (segment(10, (3, None)), [2], "1 batches hold 2 records, its spans speak of 3"),
        (segment(10, (3, None)), [], "hold 0 records"),
        (segment(10, (3, None), batches=2), [3, 0], "2 batches hold 3"),
        (segment(10, (3, None), batches=2), [4, -1], "2 batches hold 3"),
        (segment(10, (3, MARKER), batches=0), [3], "spans speak of 0"),
        (Segment(10, 14, 0, (Span(10, 3),), (b"",)), [3], "do not cover source offsets 10 to 14"),
        (Segment(10, 9, 0, (), ()), [], "do not cover"),
        (Segment(10, 13, 0, (Span(10, 2), Span(11, 2)), (b"",)), [4], "do not cover"),
        (segment(10, (1 << 56, None)), [1 << 56], "do not cover"),
    ],
)
def test_a_segment_that_does_not_fit_is_refused_and_changes_nothing(
    wrong: Segment, counts: list[int], why: str
) -> None:
    progress = begin(10)
    with pytest.raises(SegmentOutOfLine, match=why):
        progress.accept(wrong, counts)
    assert progress.accept(segment(10, (3, None)), [3])


def test_placing_folds_records_and_gaps_and_says_what_is_to_be_stored() -> None:
    progress = begin(0, 100)
    first, second = progress.accept(segment(0, (3, None), (1, MARKER), (2, None), (1, MARKER), batches=2), [4, 1])
    assert progress.placed(first, 100) == Folded(0, 3)
    assert progress.placed(second, 104) == Folded(0, 4)
    assert list(progress.map.runs()) == [Run(0, 100, 3), Run(4, 103, 2)]
    assert list(progress.map.gaps()) == [Gap(3, 1, MARKER), Gap(6, 1, MARKER)]
    assert (progress.ordinal, progress.destination_offset, progress.in_flight) == (5, 105, 0)


def test_a_foreign_write_is_counted_once_and_opens_a_run() -> None:
    progress = begin()
    one, two = progress.accept(segment(0, (4, None), batches=2), [2, 2])
    assert progress.placed(one, 3) == Folded(3, 1)
    assert progress.placed(two, 5) == Folded(0, 1)
    assert progress.map.translate(3) == Exact(6)


def test_an_offset_before_the_expected_one_freezes_the_lane_and_leaves_the_map() -> None:
    progress = begin(0, 100)
    (placement,) = progress.accept(segment(0, (4, None)), [4])
    with pytest.raises(LaneFrozen, match="ordinal 0 was written at 98, expected was 100") as caught:
        progress.placed(placement, 98)
    assert caught.value.reason is FreezeReason.TRUNCATED
    assert progress.position == 0


def test_a_position_is_acknowledged_only_once_every_break_before_it_is_stored() -> None:
    progress = begin()
    (placement,) = progress.accept(segment(0, (4, None)), [4])
    progress.placed(placement, 0)
    assert progress.acknowledgeable == 0
    progress.stored(progress.checkpoint())
    assert progress.acknowledgeable == 4
    (placement,) = progress.accept(segment(4, (2, None), ordinal=4), [2])
    progress.placed(placement, 4)
    assert progress.acknowledgeable == 6
    (placement,) = progress.accept(segment(6, (2, None), (1, MARKER), (2, None), ordinal=6), [4])
    assert progress.placed(placement, 6) == Folded(0, 2)
    assert progress.acknowledgeable == 8
    checkpoint, state = progress.to_store()
    assert len(state) == 2
    progress.stored(checkpoint)
    assert progress.acknowledgeable == 11


def test_trimming_stops_at_what_is_not_yet_stored() -> None:
    progress = begin()
    (placement,) = progress.accept(segment(0, (2, None), (1, MARKER), (2, None), (1, MARKER)), [4])
    progress.stored(progress.checkpoint())
    progress.placed(placement, 0)
    progress.trim(5)
    assert progress.map.start == 0
    progress.stored(progress.to_store()[0])
    progress.trim(5)
    assert (progress.map.start, progress.acknowledgeable) == (5, 6)


def test_a_batch_that_straddles_the_end_of_the_log_is_appended_in_part() -> None:
    progress = begin(0, 100)
    progress.reopen(Resume(5, (Placed(0, 100, 2), Placed(2, 105, 3)), False, 3, 110))
    assert progress.replaying == 5
    whole, part = progress.accept(segment(0, (3, None), (1, MARKER), (5, None), batches=2), [3, 5])
    assert (whole.present, whole.missing) == ((Placed(0, 100, 2), Placed(2, 105, 1)), 0)
    assert (part.present, part.skip, part.missing) == ((Placed(3, 106, 2),), 2, 3)
    assert progress.placed(whole) == Folded(0, 2)
    assert progress.checkpoint().destination_offset == 106
    assert progress.placed(part, 110) == Folded(0, 5)
    assert list(progress.map.runs()) == [Run(0, 100, 2), Run(2, 105, 1), Run(4, 106, 2), Run(6, 110, 3)]
    assert (progress.replaying, progress.destination_offset) == (0, 113)


def test_after_the_replay_the_next_record_is_expected_at_the_log_end() -> None:
    progress = begin(0, 100)
    progress.reopen(Resume(0, (), False, 4, 104))
    (placement,) = progress.accept(segment(0, (1, None)), [1])
    assert progress.placed(placement, 104) == Folded(0, 1)


def test_another_producer_waits_until_what_the_log_held_is_recorded() -> None:
    progress = begin()
    progress.reopen(Resume(2, (Placed(0, 0, 2),), True, 0, 2))
    with pytest.raises(AssertionError):
        progress.adopt(Producer(8, 0))
    (placement,) = progress.accept(segment(0, (2, None)), [2])
    progress.placed(placement)
    progress.adopt(Producer(8, 0))
    assert progress.to_store()[0].producer == Producer(8, 0)


def test_reopening_returns_to_what_is_placed() -> None:
    progress = begin()
    one, _ = progress.accept(segment(0, (4, None), batches=2), [3, 1])
    progress.placed(one, 0)
    progress.reopen(Resume(0, (), False, 0, 3))
    assert (progress.position, progress.in_flight) == (3, 0)
    (again,) = progress.accept(segment(3, (1, None)), [1])
    assert again.base_sequence == 3


def test_repr_says_where_it_stands() -> None:
    progress = begin(5, 9)
    progress.accept(segment(5, (2, None)), [2])
    assert repr(progress) == (
        "LaneProgress(flights/departures/0, source 5, ordinal 0, destination 9, 2 records under way)"
    )


@pytest.mark.parametrize(
    ("spans", "epoch", "kept"),
    [
        (((3, None),), 6, 6),
        (((2, MARKER), (3, None)), 6, 6),
        (((3, None), (1, MARKER)), 6, 6),
        (((3, None),), -7, -1),  # a provider may write there what it likes
    ],
)
def test_the_epoch_is_kept_of_the_batch_that_ends_at_the_position(
    spans: tuple[tuple[int, GapReason | None], ...], epoch: int, kept: int
) -> None:
    progress = begin()
    (placement,) = progress.accept(segment(0, *spans), [3])
    progress.placed(placement, 0, epoch)
    checkpoint, entries = progress.to_store()
    assert (progress.source_leader_epoch, checkpoint.source_leader_epoch) == (kept, kept)
    stored = {key: value for key, value in entries.items() if value is not None}
    assert load_lane(LANE, stored) == (checkpoint, progress.map)


def test_a_gap_after_the_batch_makes_its_epoch_unknown() -> None:
    progress = begin()
    (placement,) = progress.accept(segment(0, (3, None)), [3])
    progress.placed(placement, 0, 6)
    (gap,) = progress.accept(segment(3, (1, MARKER), ordinal=3, batches=0), [])
    progress.placed(gap)
    assert progress.source_leader_epoch == -1
