"""From where a log is read for its keys: never behind a record that was written within the window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.local.holding import LAST_EPOCH, MAX_FORMER, Holding, decode, name_of
from mesh.batch.stamp import Producer
from mesh.ids import LaneId, SubscriptionName, TopicName
from mesh.lanes.checkpoint import producer_name

WINDOW_MS = 1000
FIRST = Holding("0" * 32, Producer(7, 0))


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 50)), max_size=40), st.integers(0, 3000))
def test_nothing_of_the_window_is_passed_over(steps: list[tuple[int, int]], later_ms: int) -> None:
    now_ms = end = 0
    holding = FIRST.marked(now_ms, end, WINDOW_MS)
    written: list[tuple[int, int]] = []
    for wait_ms, records in steps:
        now_ms += wait_ms
        holding = holding.marked(now_ms, end, WINDOW_MS)
        written += [(now_ms, offset) for offset in range(end, end + records)]
        end += records
    now_ms += later_ms
    start = holding.start(now_ms, WINDOW_MS)
    assert all(offset >= start for at_ms, offset in written if at_ms > now_ms - WINDOW_MS)
    assert len(holding.marks) <= 7
    assert decode(holding.encode()) == holding


def test_marks_let_go_of_what_is_long_past() -> None:
    holding = FIRST
    for turn in range(100):
        holding = holding.marked(turn * WINDOW_MS, turn * 10, WINDOW_MS)
    assert holding.start(99 * WINDOW_MS, WINDOW_MS) == 980


def test_another_producer_keeps_the_ids_before_it() -> None:
    holding = FIRST
    for number in range(20):
        holding = holding.taken_by(Producer(100 + number, 0))
    assert holding.ids == {*range(119 - MAX_FORMER, 120)}
    assert holding.generation == 20
    assert holding.taken_by(Producer(119, 5)).generation == 20


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"topic_id": "x"}', b"\xff"])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode(data)


def test_no_lane_has_the_name_of_such_a_producer() -> None:
    lane = LaneId(SubscriptionName("local"), TopicName("orders"), 0)
    assert name_of("orders", 0, 0) != producer_name(lane)
    assert LAST_EPOCH < 1 << 15
