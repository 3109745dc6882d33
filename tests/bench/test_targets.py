"""Targets, table and chart come from the raw results, and what was not measured is not met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import chart, table
from bench.mirrors import MESH, TUNED
from bench.targets import MAIN, closing_line, loaded, ratios, spread, throughput, verdicts, whole_cpu

RESIDENT = "peak resident memory of a gateway, the worst of these rows"


def phase(cpu: float, mb_per_s: float, brokers: float = 4.0) -> dict[str, Any]:
    by_process = {"ours": cpu, "broker A": brokers / 2, "broker B": brokers / 2}
    rates = {"records": 1000, "seconds": 10.0, "mb_per_s": mb_per_s, "cpu_s_per_million": cpu}
    return {"cpu_s_per_gb": cpu, "cpu_s_per_gb_by_process": by_process, **rates}


def run(cpu: float, mb_per_s: float, rss_mb: int = 100) -> dict[str, Any]:
    both = {"catch_up": phase(cpu * 1.5, mb_per_s / 2), "second_half": phase(cpu, mb_per_s)}
    return {**both, "peak_rss_bytes": {"ours": rss_mb * 1_000_000}, "border_bytes_per_byte": 1.01}


def row(mesh: list[dict[str, Any]], peer: list[dict[str, Any]], name: str = MAIN) -> dict[str, Any]:
    runs = {MESH: mesh, TUNED: peer}
    return {"name": name, "title": "1 KB, 256 KB lz4", "workload": "", "lanes": 4, "runs": runs, "failed": []}


def catch_up(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "versions": {"python": "3.11"},
        "load_average_before": 0.1,
        "memory_gb": 16.0,
        "minutes": 1.0,
        "repeat": 3,
        "brokers": {"heap_mb": "1024"},
        "configurations": {MESH: {"key": "value"}},
        "first_record": {MESH: [{"seconds": seconds, "cpu_s": 1.0} for seconds in (1.0, 1.5, 3.0)]},
        "rows": rows,
    }


THREE = row([run(3, 200), run(2, 300), run(4, 200)], [run(12, 100), run(10, 100), run(10, 100)])


def met(document: dict[str, Any], name: str) -> bool:
    return {each.name: each.met for each in verdicts({"catchup": document})}[name]


def test_ratios_are_of_the_runs_of_one_round() -> None:
    assert ratios(THREE, throughput) == [2.0, 3.0, 2.0]
    assert spread(ratios(THREE, throughput)) == (2.0, 2.0, 3.0)


def test_the_whole_system_counts_the_brokers_of_both_sides() -> None:
    assert ratios(row([run(3, 1)], [run(10, 1)]), whole_cpu) == [0.5]


def test_a_median_at_its_limit_meets_a_target() -> None:
    assert met(catch_up(THREE), "1 KB, 256 KB lz4: CPU per GB")
    assert met(catch_up(THREE), "1 KB, 256 KB lz4: throughput")
    assert met(catch_up(THREE), "start to first record")
    assert not met(catch_up(row([run(9, 90)], [run(10, 100)])), "1 KB, 256 KB lz4: throughput")
    assert not met(catch_up(row([run(1, 1, rss_mb=151)], [run(1, 1)])), RESIDENT)


def test_a_row_with_a_failure_gives_no_figure() -> None:
    failed = {**THREE, "failed": ["mesh: holds [1, 0]"]}
    assert ratios(failed, throughput) == []
    assert not met(catch_up(failed), "1 KB, 256 KB lz4: throughput")


def test_what_was_not_measured_is_not_met_and_counts() -> None:
    found = verdicts({})
    assert closing_line(found) == f"bench: 0 of {len(found)} targets met"
    assert len(found) > 20
    assert verdicts({}, measured_only=True) == []


def test_targets_of_other_results_are_taken_as_they_stand() -> None:
    told = {"name": "latency p50 at 500 records/s", "value": 0.4, "limit": 0.5, "met": True, "unit": "of MirrorMaker"}
    found = verdicts({"latency": {"targets": [told]}}, measured_only=True)
    assert [(each.name, each.met) for each in found] == [(told["name"], True)]


def test_results_are_found_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "catchup.json").write_text(json.dumps(catch_up(THREE)))
    (tmp_path / "other.json").write_text("{}")
    assert [*loaded(tmp_path)] == ["catchup"]


def test_the_page_keeps_what_is_around_its_tables(tmp_path: Path) -> None:
    (tmp_path / "catchup.json").write_text(json.dumps(catch_up(THREE)))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    given = ["--results", str(tmp_path), "--page", str(page), "--chart", str(tmp_path / "chart.svg"), "--write"]

    assert table.main(given) == 0

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| 1 KB, 256 KB lz4 | mesh | 200 (200 to 300) |" in text
    ElementTree.parse(tmp_path / "chart.svg")


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="the page has no"):
        table.placed("page", "text")


def test_the_longest_bar_leaves_room_for_its_figure() -> None:
    picture = ElementTree.fromstring(chart.svg(chart.lines(catch_up(THREE, row([run(38.6, 39)], [run(50, 20)])))))
    space = "{http://www.w3.org/2000/svg}"
    ends = [float(bar.get("x", 0)) + float(bar.get("width", 0)) for bar in picture.iter(f"{space}rect")][1:]
    assert max(ends) < chart.WIDTH - chart.ROOM
    assert "spread" in {path.get("class") for path in picture.iter(f"{space}path")}
