"""The past that the plots show: bounded, and never wrong where it is not known."""

from __future__ import annotations

import math

import pytest

from gateway.console.history import (
    COARSE,
    COARSE_MS,
    FINE,
    FINE_MS,
    MAX_SERIES,
    History,
    Rates,
    Ring,
    Sample,
    sampled,
)
from mesh.ids import LaneId, SubscriptionName, TopicName
from mesh.lanes.status import LaneState, LaneStatus
from tests.support.admin import AdminGateway


def sample(time_ms: float, records: float = 0) -> Sample:
    return Sample(time_ms, records, records * 100, 3, math.nan, 0)


def filled(count: int) -> History:
    history = History()
    for number in range(count):
        history.add({"one": sample(number * FINE_MS, number)})
    return history


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 13])
def test_a_ring_has_the_newest_in_order(count: int) -> None:
    ring = Ring(5, 10)
    for number in range(count):
        ring.add(sample(number * 10))
    expected = [number * 10 for number in range(count)][-5:]
    assert [each.time_ms for each in ring] == expected
    newest = [ring.newest(back) for back in range(5)]
    assert [each.time_ms for each in newest if each] == expected[::-1]
    assert repr(ring) == f"<Ring {len(expected)} of 5>"


def test_a_ring_takes_no_sample_before_its_time() -> None:
    ring = Ring(5, 100)
    for time_ms in (0, 50, 95, 150, 195):
        ring.add(sample(time_ms))
    assert [each.time_ms for each in ring] == [0, 95, 195]


def test_the_finest_that_reaches_back_is_shown() -> None:
    history = filled(FINE + 10)
    end_ms = (FINE + 9) * FINE_MS
    assert len(history.samples("one", end_ms - 60_000)) == 31
    steps = [each.time_ms for each in history.samples("one", 0)]
    assert steps[1] - steps[0] >= COARSE_MS * 0.9
    assert history.samples("two", 0) == []


def test_what_began_lately_is_shown_finely_however_far_one_looks_back() -> None:
    assert len(filled(20).samples("one", -1e12)) == 20


def test_a_day_is_the_most_that_is_kept() -> None:
    history = filled(COARSE * COARSE_MS // FINE_MS + 100)
    assert len(history.samples("one", 0)) == COARSE


def test_a_rate_is_over_the_last_ten_seconds() -> None:
    assert filled(30).rates("one") == Rates(0.5, 50)
    assert filled(2).rates("one") == Rates(0.5, 50)
    assert filled(1).rates("one") is None
    assert filled(0).rates("one") is None


def test_there_is_no_rate_where_counting_began_anew_or_nothing_is_known() -> None:
    for last in (sample(FINE_MS * 30, 2), Sample(FINE_MS * 30, math.nan, math.nan, math.nan, math.nan, 0)):
        history = filled(30)
        history.add({"one": last})
        assert history.rates("one") is None


def test_series_are_bounded_and_end_with_their_subject() -> None:
    history = History()
    many = {f"s{number:03}": sample(0) for number in range(MAX_SERIES + 5)}
    history.add(many)
    assert repr(history) == f"<History of {MAX_SERIES}>"
    assert history.samples(f"s{MAX_SERIES:03}", 0) == []
    history.add({"s000": sample(FINE_MS)})
    assert repr(history) == "<History of 1>"
    assert len(history.samples("s000", 0)) == 2


async def test_a_sample_adds_up_lanes_and_what_peers_read(admin: AdminGateway) -> None:
    lane = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
    admin.lanes.found = [
        LaneStatus(lane, "globex.example", "d", LaneState.RUNNING, records=5, lag_records=2, lag_s=1.5, gaps=1),
        LaneStatus(lane._replace(partition=1), "globex.example", "d", LaneState.WAITING, records=7),
    ]
    read = {"peer": "globex.example", "share": "weather", "topic": "t", "partition": 0, "position": 9}
    admin.links.exported = [read | {"acknowledged": 8, "log_end": 10}, read | {"acknowledged": -1, "log_end": -1}]

    found = sampled(admin.services)

    assert found["subscription:flights"][1:] == (12, 0, 2, 1.5, 1)
    assert found["export:weather:globex.example"][1:4] == (8, 0, 2)
