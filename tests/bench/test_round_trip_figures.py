"""What a round trip costs is told by pairs that were measured one after the other."""

from __future__ import annotations

from bench.round_trip_figures import MESH, PEER, Trip, lost_percent, table, targets, trip
from bench.watch import Mark, Watched


def of(mirror: str, ms: int, turn: int, mb_per_s: float) -> Trip:
    return Trip(mirror, 4, ms, turn, 1.0, mb_per_s, mb_per_s, 1.0, 0.2)


def test_a_trip_counts_from_the_first_record_to_the_last() -> None:
    marks = [
        Mark(10.0, 1_000, {"acme": 1.0, "globex": 1.0, "wire": 0.5}),
        Mark(11.0, 101_000, {"acme": 1.5, "globex": 2.0, "wire": 0.7}),
        Mark(14.0, 201_000, {"acme": 2.0, "globex": 3.0, "wire": 0.9}),
    ]
    found = trip(MESH, 4, 100, 0, Watched(*marks), 1000, ["acme", "globex"])
    assert (found.seconds, found.mb_per_s, found.second_half_mb_per_s) == (4.0, 50.0, 33.3)
    assert (found.mirror_cores, found.wire_cores) == (0.75, 0.1)


def test_what_is_lost_is_the_median_of_the_turns() -> None:
    trips = [of(MESH, 0, turn, 100.0) for turn in range(3)]
    trips += [of(MESH, 100, turn, rate) for turn, rate in enumerate((90.0, 50.0, 85.0))]
    assert round(lost_percent(trips, MESH, 4, 100) or 0) == 15
    assert [each.met for each in targets(trips)] == [True]


def test_nothing_is_told_of_what_has_no_pair() -> None:
    trips = [of(MESH, 100, 0, 90.0), of(PEER, 0, 0, 90.0)]
    assert lost_percent(trips, MESH, 4, 100) is None
    assert targets(trips) == []
    assert len(table(trips).splitlines()) == 3
