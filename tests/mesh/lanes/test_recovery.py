"""What the witnesses may say after a checkpoint, case by case."""

from __future__ import annotations

import pytest

from mesh.batch.header import parse_header
from mesh.batch.stamp import SEQUENCES, Producer
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import Checkpoint
from mesh.lanes.recovery import FreezeReason, LaneFrozen, Placed, Resume, check_last_copy, decide_resume
from mesh.log import LogRange, OwnBatch, Witnesses
from tests.support.batches import stamped

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)


def checkpoint(ordinal: int = 10, destination_offset: int = 100) -> Checkpoint:
    return Checkpoint(
        topic_id=TopicId("0" * 32),
        source_position=500,
        ordinal=ordinal,
        destination_offset=destination_offset,
        producer=Producer(7, 0),
        stored_breaks=1,
    )


def witnesses(
    *own: tuple[int, int, int], end: int, last: int | None, start: int = 0, foreign_count: int = 0
) -> Witnesses:
    return Witnesses(LogRange(start, end, end), last, tuple(OwnBatch(*batch) for batch in own), foreign_count)


def resumed(found: Witnesses, ordinal: int = 10) -> Resume:
    decision = decide_resume(LANE, checkpoint(ordinal), found)
    assert isinstance(decision, Resume), str(decision)
    return decision


def frozen(found: Witnesses, ordinal: int = 10) -> LaneFrozen:
    decision = decide_resume(LANE, checkpoint(ordinal), found)
    assert isinstance(decision, LaneFrozen), decision
    return decision


def test_nothing_ahead_goes_on_at_the_checkpoint() -> None:
    assert resumed(witnesses(end=100, last=9)) == Resume(0, (), False, 0, 100)


def test_a_lane_that_has_written_nothing_goes_on() -> None:
    assert resumed(witnesses(end=100, last=None), ordinal=0) == Resume(0, (), True, 0, 100)


def test_batches_ahead_are_placed_and_joined() -> None:
    found = resumed(witnesses((100, 10, 5), (105, 15, 2), end=107, last=16))
    assert found == Resume(7, (Placed(10, 100, 7),), False, 0, 107)


def test_sequences_wrap() -> None:
    ordinal = 3 * SEQUENCES - 4
    found = resumed(witnesses((100, SEQUENCES - 4, 6), (106, 2, 3), end=109, last=4), ordinal)
    assert found.placed == (Placed(ordinal, 100, 9),)
    assert resumed(witnesses(end=100, last=SEQUENCES - 1), 3 * SEQUENCES).ahead == 0


def test_foreign_records_between_leave_the_places_exact() -> None:
    found = resumed(witnesses((100, 10, 2), (105, 12, 3), end=110, last=14, foreign_count=5))
    assert found == Resume(5, (Placed(10, 100, 2), Placed(12, 105, 3)), False, 5, 110, ((102, 105), (108, 110)))


def test_a_foreign_tail_alone_is_reported() -> None:
    assert resumed(witnesses(end=103, last=9, foreign_count=3)) == Resume(0, (), False, 3, 103, ((100, 103),))


@pytest.mark.parametrize(
    ("batch", "rest"),
    [
        ((96, 6, 5), (100, 10, 1)),
        ((99, 9, 5), (100, 10, 4)),
        ((100, 10, 4), (100, 10, 4)),
        ((98, SEQUENCES - 1, 4), (100, 1, 2)),
    ],
)
def test_what_a_batch_across_the_checkpoint_holds_beyond_it_is_placed(
    batch: tuple[int, int, int], rest: tuple[int, int, int]
) -> None:
    beyond = OwnBatch(*batch).beyond(100)
    assert beyond == rest
    found = witnesses(beyond, end=100 + beyond.records, last=beyond.base_sequence + beyond.records - 1)
    assert resumed(found, beyond.base_sequence).placed == (Placed(beyond.base_sequence, 100, beyond.records),)


def test_a_forgotten_producer_is_said_and_its_batches_still_count() -> None:
    found = resumed(witnesses((100, 10, 5), end=105, last=None))
    assert (found.ahead, found.producer_forgotten) == (5, True)


def test_a_log_that_ends_below_the_checkpoint_is_truncated() -> None:
    found = frozen(witnesses(end=99, last=8))
    assert found.reason is FreezeReason.TRUNCATED
    assert str(found) == (
        "lane flights/departures/0 is frozen (truncated): the destination log ends at 99, the checkpoint stands at 100"
    )


@pytest.mark.parametrize(
    "own",
    [
        [(100, 11, 2)],
        [(100, 9, 2)],
        [(100, 10, 2), (102, 13, 2)],
        [(100, 10, 2), (102, 11, 2)],
        [(100, 10, 2), (101, 12, 2)],
        [(99, 10, 2)],
    ],
)
def test_batches_that_do_not_follow_freeze_the_lane(own: list[tuple[int, int, int]]) -> None:
    found = frozen(witnesses(*own, end=200, last=own[-1][1] + own[-1][2] - 1))
    assert found.reason is FreezeReason.OUT_OF_SEQUENCE
    assert found.reason.may_pass


@pytest.mark.parametrize("last", [0, 8, 9, 13, 15, SEQUENCES - 1])
def test_another_last_sequence_than_the_log_shows_freezes_the_lane(last: int) -> None:
    assert frozen(witnesses((100, 10, 5), end=105, last=last)).reason is FreezeReason.DISAGREEMENT


def test_a_producer_that_is_known_where_nothing_was_written_freezes_the_lane() -> None:
    assert frozen(witnesses(end=100, last=SEQUENCES - 1), ordinal=0).reason is FreezeReason.DISAGREEMENT


def test_batches_beyond_the_log_end_freeze_the_lane() -> None:
    assert frozen(witnesses((100, 10, 5), end=104, last=14)).reason is FreezeReason.DISAGREEMENT


@pytest.mark.parametrize("last", [None, 14])
def test_retention_past_the_checkpoint_freezes_unless_nothing_is_ahead(last: int | None) -> None:
    found = frozen(witnesses(end=105, last=last, start=105))
    assert found.reason is FreezeReason.TAIL_LOST
    assert not found.reason.may_pass
    assert resumed(witnesses(end=105, last=9, start=105, foreign_count=0)).ahead == 0


@pytest.mark.parametrize("last", [None, 14])
def test_retention_that_left_only_later_batches_freezes(last: int | None) -> None:
    assert frozen(witnesses((103, 13, 2), end=105, last=last, start=103)).reason is FreezeReason.TAIL_LOST


def test_retention_that_took_only_foreign_records_is_no_loss() -> None:
    found = resumed(witnesses((103, 10, 2), end=105, last=11, start=103))
    assert found.placed == (Placed(10, 103, 2),)


OURS = Producer(7, 0)


def looked_at(
    base_offset: int, base_sequence: int, *, producer: Producer = OURS, ordinal: int = 10, own_end: int = 100
) -> LaneFrozen | None:
    batch = stamped(producer, base_sequence, [b""] * 4)
    header = parse_header(base_offset.to_bytes(8, "big") + batch.header[8:] + bytes(batch.payload))
    return check_last_copy(LANE, checkpoint(ordinal), own_end, header)


@pytest.mark.parametrize(("base_offset", "base_sequence"), [(96, 6), (97, 7), (99, 9)])
def test_the_last_copy_at_its_place_is_the_lanes(base_offset: int, base_sequence: int) -> None:
    assert looked_at(base_offset, base_sequence) is None


def test_the_last_copy_may_lie_across_the_wrap_of_sequences() -> None:
    assert looked_at(97, SEQUENCES - 1, ordinal=2) is None


@pytest.mark.parametrize("producer", [Producer(8, 0), Producer(7, 1), Producer(-1, -1)])
def test_another_producers_batch_in_the_place_of_the_last_copy_freezes(producer: Producer) -> None:
    found = looked_at(96, 6, producer=producer)
    assert found is not None
    assert found.reason is FreezeReason.TRUNCATED
    assert f"one of producer {producer.id}" in str(found)


@pytest.mark.parametrize("base_sequence", [5, 7, 0])
def test_a_copy_of_another_ordinal_in_the_place_of_the_last_one_freezes(base_sequence: int) -> None:
    found = looked_at(96, base_sequence)
    assert found is not None
    assert not found.reason.may_pass


def test_ordinals_are_not_compared_where_the_lane_went_on_behind_its_last_copy() -> None:
    assert looked_at(86, 0, own_end=90) is None
    assert looked_at(86, 0, own_end=90, producer=Producer(8, 0)) is not None


def test_a_hole_where_the_last_copy_was_is_compactions() -> None:
    assert looked_at(100, 3, producer=Producer(8, 0)) is None


def test_the_hint_names_a_way_out() -> None:
    assert "subscribe anew" in frozen(witnesses(end=1, last=None)).remedy
