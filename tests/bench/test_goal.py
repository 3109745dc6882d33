"""A target is met up to its limit, and the closing line counts those that are."""

from __future__ import annotations

from bench.goal import Target, grid, verdict


def test_a_target_is_met_up_to_its_limit() -> None:
    met, missed = Target("p50", 0.5, 0.5, "of it"), Target("p99", 0.501, 0.5, "of it")
    assert (met.met, missed.met) == (True, False)
    assert met.told() == {"name": "p50", "value": 0.5, "limit": 0.5, "met": True, "unit": "of it"}
    assert verdict("latency", [met, missed]).splitlines() == [
        "met     p50: 0.5 of it, at most 0.5",
        "MISSED  p99: 0.501 of it, at most 0.5",
        "",
        "latency: 1 of 2 targets met",
    ]


def test_what_could_not_be_measured_is_not_met() -> None:
    assert not Target("slope", float("nan"), 1.0, "MB").met


def test_a_grid_keeps_its_columns() -> None:
    assert grid([["name", "n"], ["a", "1,000"]]) == "name      n\na     1,000"
