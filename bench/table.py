"""The results as tables for docs/performance.md, between two markers of that page, and as its chart.

    python -m bench.table             prints them
    python -m bench.table --write     puts them into the page, and writes docs/performance.svg

Figures of catch-up are medians of the rounds, the least and the most behind them; no figure is typed by hand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import chart, latency_figures, round_trip_figures, targets
from bench.growth_figures import DayRow, Growth, LanesRow, PeersRow, Sample, StoppedRow
from bench.mirrors import AS_IT_COMES, MESH, TUNED
from bench.targets import Document, Run, Verdict, cpu, ratios, spread, throughput, whole_cpu
from tests.support import pages
from tests.support.pages import table

PAGE = Path("docs/performance.md")
BEGIN, END = "<!-- Generated: python -m bench.table --write -->", "<!-- end of what is generated -->"
NONE = "-"
SHORT = {MESH: "mesh", TUNED: "MM2", AS_IT_COMES: "MM2 as it comes"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--results", type=Path, default=targets.RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--chart", type=Path, default=chart.OUTPUT)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    documents = targets.loaded(given.results)
    text = "\n".join(page(documents))
    if not given.write:
        print(text)
        return 0
    given.page.write_text(placed(given.page.read_text(encoding="utf-8"), text), encoding="utf-8")
    return chart.main(["--results", str(given.results), "--output", str(given.chart)])


def placed(page: str, text: str) -> str:
    """The page with `text` between its markers. Raises ValueError where it has none."""
    return pages.placed(page, BEGIN, f"{text}\n", END)


def page(documents: Mapping[str, Document]) -> Iterator[str]:
    found = targets.verdicts(documents)
    yield f"    {targets.closing_line(found)}"
    yield from _section("Targets", table(("target", "measured", "limit", "met"), map(_verdict, found)))
    if catch_up := documents.get(targets.CATCH_UP):
        yield from _catch_up(catch_up)
    for name, title, text in _others(documents):
        yield from _section(f"{title} (`bench/results/{name}.json`)", ("    " + line for line in text.splitlines()))
    if catch_up:
        yield from _configurations({"brokers": catch_up["brokers"], **catch_up["configurations"]})


def _verdict(each: Verdict) -> tuple[str, ...]:
    if each.target is None:
        return each.name, "not measured", NONE, "no"
    target = each.target
    measured = each.spread.text() if each.spread else f"{target.value:.2f}"
    bound = "≥" if target.at_least else "≤"
    return target.name, f"{measured} {target.unit}", f"{bound} {target.limit:.3g}", "yes" if target.met else "**no**"


def _catch_up(document: Document) -> Iterator[str]:
    rows = document["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    said = f"{document['memory_gb']:g} GB of memory, load average before {document['load_average_before']:g}"
    yield from _section("Catch-up", [f"{versions}; {said}; {document['minutes']:g} minutes."])
    yield f"Rows with a target {document['repeat']} times, the others once. The second half of each copy:"
    yield ""
    yield "![CPU per GB and throughput of both](performance.svg)"
    yield ""
    yield from table(
        ("workload", "mirror", "MB/s", "records/s", "CPU-s per GB", "CPU-s per million", "CPU, ratio", "MB/s, ratio"),
        (line for row in rows for line in _lines(row)),
    )
    yield from _section(
        "The whole copy",
        table(
            ("workload", "mirror", "MB/s", "CPU-s per GB", "CPU, ratio", "seconds"),
            (line for row in rows for line in _whole_lines(row)),
        ),
    )
    yield from _section(
        "Memory, brokers, border",
        table(
            ("workload", "mirror", "peak RSS, MB", "broker A", "broker B", "mirror and brokers", "border bytes / byte"),
            (line for row in rows for line in _resource_lines(row)),
        ),
    )
    yield ""
    yield "Brokers in CPU-s per GB, second half. Border: bytes between the companies per byte of records, TLS and all."
    starts = ((side, found) for side, found in document["first_record"].items() if found)
    lines = [(SHORT[side], _of(found, "seconds"), _of(found, "cpu_s")) for side, found in starts]
    yield from _section("Start to first record, after a stop", table(("mirror", "seconds", "CPU-s"), lines))
    yield from _section("Workloads", (f"- {row['title']}: {row['workload']}" for row in rows))
    failures = [f"- {row['title']}: {failure.splitlines()[0]}" for row in rows for failure in row["failed"]]
    if failures:
        yield from _section("Failed", failures)


def _lines(row: Document) -> Iterator[tuple[str, ...]]:
    cheaper, faster = ratios(row, cpu), ratios(row, throughput)
    for at, (side, runs) in enumerate(_sides(row)):
        records_s = statistics.median(run[targets.PHASE]["records"] / run[targets.PHASE]["seconds"] for run in runs)
        per_million = [run[targets.PHASE]["cpu_s_per_million"] for run in runs]
        yield (
            "" if at else row["title"],
            SHORT[side],
            spread([*map(throughput, runs)]).text(0),
            f"{records_s:,.0f}",
            spread([*map(cpu, runs)]).text(),
            spread(per_million).text(),
            f"**{spread(cheaper).text()}**" if cheaper and side == MESH else "",
            spread(faster).text() if faster and side == MESH else "",
        )


def _whole_lines(row: Document) -> Iterator[tuple[str, ...]]:
    def whole_copy(run: Run) -> float:
        return float(run["catch_up"]["cpu_s_per_gb"])

    cheaper = ratios(row, whole_copy)
    for at, (side, runs) in enumerate(_sides(row)):
        yield (
            "" if at else row["title"],
            SHORT[side],
            spread([run["catch_up"]["mb_per_s"] for run in runs]).text(0),
            spread([*map(whole_copy, runs)]).text(),
            spread(cheaper).text() if cheaper and side == MESH else "",
            spread([run["catch_up"]["seconds"] for run in runs]).text(0),
        )


def _resource_lines(row: Document) -> Iterator[tuple[str, ...]]:
    for at, (side, runs) in enumerate(_sides(row)):
        memory = " + ".join(
            f"{statistics.median(run['peak_rss_bytes'][process] / 1e6 for run in runs):.0f}"
            for process in runs[0]["peak_rss_bytes"]
        )
        brokers = [
            spread([run[targets.PHASE]["cpu_s_per_gb_by_process"][name] for run in runs]).text()
            for name in ("broker A", "broker B")
        ]
        crossed = [run["border_bytes_per_byte"] for run in runs if "border_bytes_per_byte" in run]
        whole = spread([*map(whole_cpu, runs)]).text()
        said = spread(crossed).text() if crossed else NONE
        yield "" if at else row["title"], SHORT[side], memory, *brokers, whole, said


def _sides(row: Document) -> list[tuple[str, list[Any]]]:
    return [(side, runs) for side, runs in row["runs"].items() if runs]


def _of(found: Sequence[Mapping[str, float]], key: str) -> str:
    return spread([each[key] for each in found]).text()


def _others(documents: Mapping[str, Document]) -> Iterator[tuple[str, str, str]]:
    """Of each other result that is there: name, title, table as text."""
    makers: Mapping[str, tuple[str, Callable[[Document], str]]] = {
        "latency": ("Steady state: latency", _latency),
        "round-trip": ("Added round trips", _round_trip),
        "growth": ("Growth: lanes and peers", _growth),
        "offset-lookup": ("Offset lookup", _lookup),
    }
    for name, (title, maker) in makers.items():
        if name in documents:
            yield name, title, maker(documents[name])


def _latency(document: Document) -> str:
    return latency_figures.table([latency_figures.Row(**row) for row in document["rows"]])


def _round_trip(document: Document) -> str:
    return round_trip_figures.table([round_trip_figures.Trip(**trip) for trip in document["trips"]])


def _growth(document: Document) -> str:
    day, stopped = document["day"], document["stopped"]
    return Growth(
        [LanesRow(**row) for row in document["lanes"]],
        [PeersRow(**row) for row in document["peers"]],
        StoppedRow(**stopped) if stopped else None,
        DayRow(**{**day, "samples": [Sample(**each) for each in day["samples"]]}) if day else None,
    ).tables()


def _lookup(document: Document) -> str:
    return (
        f"{document['runs']:,} runs, each with a gap: source to destination {document['forward_us']} us,"
        f" back {document['back_us']} us; {document['bytes_per_run']} bytes per run; loaded in {document['load_s']} s"
    )


def _configurations(configurations: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for side, settings in configurations.items():
        lines = ["", *(f"    {key} = {value}" for key, value in settings.items())]
        yield from _section(f"Configuration: {SHORT.get(side, side)}", lines[1:])


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from ("", f"### {title}", "")
    yield from lines


if __name__ == "__main__":
    sys.exit(main())
