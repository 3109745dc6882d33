"""Growth is told by comparing the most with the fewest."""

from __future__ import annotations

import math

import pytest

from bench.growth_figures import (
    EXPORTER,
    IMPORTER,
    IMPORTERS,
    DayRow,
    Growth,
    LanesRow,
    PeersRow,
    Sample,
    StoppedRow,
    idle_kb,
)


def both(exporter: float, importer: float) -> dict[str, float]:
    return {EXPORTER: exporter, IMPORTER: importer}


def lanes(number: int, copying_s: float, idle_s: float, rss_mb: int) -> LanesRow:
    rss = {EXPORTER: rss_mb * 1_000_000, IMPORTER: rss_mb * 1_000_000}
    brokers = {"broker A": 1.0, "broker B": 2.0}
    restart, total = both(1.0, 2.0), both(1.0 + copying_s, 2.0 + copying_s)
    return LanesRow(
        number, 2.0, 1.0, restart, restart, 10.0, both(idle_s, idle_s), brokers, rss, 9.0, total, brokers, rss
    )


def peers(number: int, read_bytes: int, exporter_s: float) -> PeersRow:
    cpu = {EXPORTER: exporter_s, IMPORTERS: 1.0 * number}
    return PeersRow(number, 10.0, 1000, 1_000_000, read_bytes, 50, cpu, 0.5, 3.0, read_bytes, 9, cpu, 100_000_000)


def day(slope_mb: float) -> DayRow:
    samples = [
        Sample(at * 100_000, {EXPORTER: 90_000_000, IMPORTER: round(90e6 + slope_mb * at * 100_000)})
        for at in range(101)
    ]
    return DayRow(10_000_000, 100, 60.0, both(5.0, 9.0), samples)


def test_cost_is_what_a_start_without_anything_to_copy_does_not_take() -> None:
    row = lanes(1, 3.0, 0.1, 90)
    assert (row.cost(EXPORTER), row.cost()) == (1.5, 3.0)


def test_idle_lanes_are_told_by_lane_and_second() -> None:
    few, many = lanes(1, 3.0, 0.1, 90), lanes(1001, 3.0, 0.5, 140)
    assert many.idle_ms() == pytest.approx(0.1, rel=0.01)
    assert idle_kb(few, many, EXPORTER) == 50.0


def test_every_part_has_its_targets() -> None:
    growth = Growth([lanes(1, 3.0, 0.1, 90), lanes(1000, 4.2, 0.4, 120)])
    assert [each.met for each in growth.targets()] == [False, True, True, True]
    growth = Growth(peers=[peers(1, 1_000_000, 1.0), peers(16, 1_200_000, 16.0)])
    assert [each.met for each in growth.targets()] == [True, True]
    growth = Growth(stopped=StoppedRow(4, 0.3, 5.0, 5.5, 80_000_000, 2.0))
    assert [each.met for each in growth.targets()] == [False, True]
    growth = Growth(day=day(3.0))
    assert [(each.met, round(each.value, 6)) for each in growth.targets()] == [(True, 0.0), (False, 3.0)]


def test_a_slope_needs_samples_of_more_than_one_moment() -> None:
    row = DayRow(100, 100, 1.0, both(1.0, 1.0), [Sample(100, {EXPORTER: 1, IMPORTER: 1})])
    assert math.isnan(row.slope_mb(EXPORTER))


def test_what_was_not_measured_is_not_told() -> None:
    assert Growth().tables() == ""
    found = Growth([lanes(1, 3.0, 0.1, 90)], [peers(1, 1_000_000, 1.0)], None, day(0.0))
    assert found.tables().count("\n\n") == 3
