"""Rows of latency say whether the rate was kept; targets compare the two mirrors at one rate."""

from __future__ import annotations

import pytest

from bench.latency_figures import MESH, PEER, Row, row, table, targets
from bench.latency_load import Window


def window(
    wanted_per_s: int = 500, sent: int = 5000, heard_in_time: int = 4990, latencies: tuple[float, ...] = (1.0, 2.0, 3.0)
) -> Window:
    cpu_s = {"exporter": 1.0, "importer": 2.0, "broker A": 4.0}
    return Window(wanted_per_s, 0.0, 10.0, sent, heard_in_time, sent, 0, latencies, cpu_s)


def of(mirror: str, latency_ms: float) -> Row:
    return row(mirror, window(latencies=(latency_ms,) * 100))


def test_a_row_tells_percentiles_and_the_cores_of_what_mirrors() -> None:
    found = row(MESH, window(latencies=tuple(float(each) for each in range(1, 1001))))
    assert (found.p50_ms, found.p99_ms, found.p999_ms, found.max_ms) == (501.0, 991.0, 1000.0, 1000.0)
    assert found.mirrors_cores() == pytest.approx(0.3)
    assert found.kept


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (window(wanted_per_s=20_000), "the producer sent 500 records/s"),
        (window(heard_in_time=4000), "the destination was 2.0 s behind at the end"),
    ],
)
def test_a_rate_that_was_not_kept_says_why(measured: Window, why: str) -> None:
    found = row(MESH, measured)
    assert (found.kept, found.why_not) == (False, why)
    assert f"NOT KEPT: {why}" in table([found])


def test_targets_compare_the_mirrors_and_need_both() -> None:
    assert [each.value for each in targets([of(MESH, 3.0), of(PEER, 6.0)])] == [0.5, 0.5]
    assert targets([of(MESH, 3.0)]) == []


def test_nothing_heard_is_no_good_latency() -> None:
    found = row(MESH, window(heard_in_time=0, latencies=()))
    assert found.p50_ms == float("inf")
    assert not found.kept
