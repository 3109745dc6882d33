from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import LaneId, SubscriptionName, TopicName
from mesh.lanes.status import LaneState, LaneStatus
from mesh.lanes.warnings import warnings
from mesh.lanes.watch import MARKS, SourceWatch, watched
from mesh.log import LogRange

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
HOUR_MS = 3_600_000


def heard(*words: tuple[int, int, int, int, int]) -> SourceWatch:
    """From (ms, log start, last stable, log end, position) each."""
    watch = SourceWatch()
    for at_ms, start, last_stable, end, position in words:
        watch = watch.heard(LogRange(start, end, last_stable), position, at_ms)
    return watch


def lane(watch: SourceWatch, now_ms: int, position: int, state: LaneState = LaneState.RUNNING) -> LaneStatus:
    return watched(LaneStatus(LANE, "acme.example", "copy", state, source_position=position), watch, now_ms)


def test_a_stall_counts_from_when_the_last_stable_offset_last_moved() -> None:
    watch = heard((0, 0, 10, 10, 10), (1000, 0, 12, 15, 12), (5000, 0, 12, 40, 12))
    assert watch.stalled_records == 28
    assert watch.stalled_s(61_000) == 60.0


def test_a_stall_ends_when_the_offset_moves_on() -> None:
    watch = heard((0, 0, 10, 15, 10), (9000, 0, 15, 15, 10))
    assert (watch.stalled_records, watch.stalled_s(99_000)) == (0, 0.0)
    again = watch.heard(LogRange(0, 20, 15), 15, 100_000)
    assert again.stalled_s(101_000) == 1.0


def test_transactions_one_after_the_other_are_no_stall() -> None:
    watch = heard(*((at * 1000, 0, at * 10, at * 10 + 5, at * 10) for at in range(300)))
    assert watch.stalled_s(300_000) == 1.0


def test_a_lane_that_stands_still_is_reached_as_fast_as_the_log_start_moves() -> None:
    watch = heard((0, 0, 1000, 1000, 500), (HOUR_MS, 100, 1100, 1100, 500))
    assert watch.retention_s(500, HOUR_MS, moving=False) == 4 * 3600
    assert watch.retention_s(500, 3 * HOUR_MS, moving=False) == 2 * 3600, "what was last known goes on"
    assert watch.retention_s(500, 9 * HOUR_MS, moving=False) == 0


def test_what_retention_has_passed_already_is_said_at_once() -> None:
    assert heard((0, 600, 1000, 1000, 500)).retention_s(500, 0, moving=False) == 0


def test_a_lane_that_falls_behind_is_reached_as_fast_as_its_lag_grows() -> None:
    watch = heard((0, 0, 1000, 1000, 1000), (HOUR_MS, 1000, 2000, 2000, 1500))
    assert watch.retention_s(1500, HOUR_MS, moving=True) == 3600


def test_a_log_that_keeps_all_forecasts_nothing() -> None:
    watch = heard((0, 0, 1000, 1000, 0), (HOUR_MS, 0, 90_000, 90_000, 1))
    assert watch.retention_s(1, HOUR_MS, moving=True) is None
    assert watch.retention_s(1, HOUR_MS, moving=False) is None


def test_retention_may_pass_a_lane_that_a_hanging_transaction_holds() -> None:
    """Brokers remove up to the high watermark, whatever is open."""
    watch = heard((0, 0, 500, 1000, 500), (HOUR_MS, 250, 500, 2000, 500))
    assert watch.retention_s(500, HOUR_MS, moving=False) == 3600


def test_another_history_begins_anew() -> None:
    watch = heard((0, 0, 1000, 1000, 0), (HOUR_MS, 900, 1000, 1000, 0), (HOUR_MS + 1, 0, 10, 10, 0))
    assert len(watch.marks) == 1


@given(st.integers(1, 500))
def test_the_past_is_bounded_and_reaches_back_to_the_beginning(words: int) -> None:
    watch = heard(*((at, at, at, at, at) for at in range(words)))
    assert len(watch.marks) <= MARKS
    assert watch.marks[0].at_ms == 0
    assert watch.marks[-1].at_ms == words - 1


STEPS = st.lists(st.tuples(st.integers(1, HOUR_MS), st.integers(0, 1000), st.integers(0, 500)), min_size=1, max_size=40)


@given(STEPS)
def test_a_lane_at_the_end_of_its_source_is_never_warned_of(steps: list[tuple[int, int, int]]) -> None:
    """However far and unevenly retention moves below it."""
    watch, now_ms, start, end = SourceWatch(), 0, 0, 0
    for after_ms, written, removed in steps:
        now_ms, end = now_ms + after_ms, end + written
        start = min(end, start + removed)
        watch = watch.heard(LogRange(start, end, end), end, now_ms)
        for state in LaneState:
            assert lane(watch, now_ms + after_ms, end, state).retention_s is None


@given(STEPS, st.integers(0, 5))
def test_a_lane_that_keeps_its_distance_from_the_end_is_never_warned_of(
    steps: list[tuple[int, int, int]], lag: int
) -> None:
    watch, now_ms, start, end = SourceWatch(), 0, 0, lag
    for after_ms, written, removed in steps:
        now_ms, end = now_ms + after_ms, end + written
        start = min(end - lag, start + removed)
        watch = watch.heard(LogRange(start, end, end), end - lag, now_ms)
    assert lane(watch, now_ms, end - lag).retention_s is None


@given(STEPS.filter(lambda steps: sum(removed for _, _, removed in steps[1:]) > 0), st.integers(0, 10_000))
def test_a_forecast_for_a_lane_that_stands_comes_nearer_and_never_goes_back(
    steps: list[tuple[int, int, int]], position: int
) -> None:
    watch, now_ms, start = SourceWatch(), 0, 0
    for after_ms, _, removed in steps:
        now_ms, start = now_ms + after_ms, start + removed
        watch = watch.heard(LogRange(start, 50_000, 50_000), position, now_ms)
    found = [watch.retention_s(position, now_ms + later, moving=False) for later in range(0, 10 * HOUR_MS, HOUR_MS)]
    assert all(a is None or (b is not None and 0 <= b <= a) for a, b in pairwise(found))


def test_lanes_of_a_topic_share_a_warning() -> None:
    watch = heard((0, 0, 500, 1000, 500), (HOUR_MS, 250, 500, 2000, 500))
    other = LaneId(LANE.subscription, LANE.topic, 1)
    statuses = [lane(watch, HOUR_MS, 500, LaneState.PAUSED)]
    statuses.append(
        watched(LaneStatus(other, "acme.example", "copy", LaneState.PAUSED, source_position=400), watch, HOUR_MS)
    )
    near, stalled = warnings(statuses)
    assert (near.code, near.lanes) == ("retention-near", (str(LANE), str(other)))
    assert "in about 36 min" in near.why
    assert (stalled.code, stalled.lanes) == ("source-stalled", (str(LANE), str(other)))
    assert "3000 offsets for 60 min" in stalled.why
    assert "acme.example" in stalled.remedy


def test_a_lane_in_order_has_no_warning() -> None:
    assert warnings([lane(heard((0, 0, 10, 12, 10)), 1000, 10), LaneStatus(LANE, "a", "b", LaneState.WAITING)]) == []
