"""All rows of catch-up on one pair of brokers in one run: mesh and MirrorMaker 2 by turns, each repeated.

    python -m bench.suite [--rows NAME...] [--repeat 3] [--scale 1] [--without-start] [--json FILE]

A row's topic is filled once. In each round every side copies it, in an order that turns from round to round. A copy
that fails or is not complete is an error of its row, is told and stands in the result, and never becomes a figure; the
other rows go on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from bench.first_record import LOAD as FIRST_LOAD
from bench.first_record import TOPIC as FIRST_TOPIC
from bench.first_record import first_records
from bench.ground import HEAP_MB, PROPERTIES, Ground, ground
from bench.load import fill
from bench.mirrors import AS_IT_COMES, MESH, TUNED, Mesh, Mirror, MirrorMaker
from bench.report import Measured, result
from bench.rows import QUICK, ROWS, Row, chosen
from bench.versions import versions
from mesh.errors import MeshError

REPEAT = 3
START_ESTIMATE_S = 20.0
BROKERS_ESTIMATE_S = 30.0
QUIET_LOAD = 0.5
FAILURES = (RuntimeError, OSError, MeshError, SubprocessError)
"""Of a run: its row has no figure then, and the others go on."""
LEAST_PART = 0.3
"""Of the records, in what is called the second half of a copy."""


@dataclass
class Suite:
    """Fills `document` row by row, so that what was measured is there whatever comes later."""

    ground: Ground
    mirrors: Mapping[str, Mirror]
    repeat: int
    document: dict[str, Any]
    runs: int = 0
    failures: list[str] = field(default_factory=list)

    async def measure(self, row: Row) -> None:
        say(f"\n{row.title}: {row.workload.text}")
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in row.sides}
        found = {"name": row.name, "title": row.title, "workload": row.workload.text, "lanes": row.workload.partitions}
        failed: list[str] = []
        self.document["rows"].append({**found, "runs": runs, "failed": failed})
        try:
            began_s = time.monotonic()
            await asyncio.to_thread(fill, self.ground.a.address, row.name, row.workload)
            say(f"  filled in {time.monotonic() - began_s:.0f} s")
        except FAILURES as error:
            self._fail(row, failed, "filling", error)
            return
        for number in range(row.repeats(self.repeat)):
            for side in turned(row.sides, number):
                try:
                    runs[side].append(await self._run(row, side))
                except FAILURES as error:
                    self._fail(row, failed, side, error)

    def _fail(self, row: Row, failed: list[str], side: str, error: Exception) -> None:
        why = str(error).partition("\n")[0]  # what follows may be a log, which names paths and ports
        failed.append(f"{side}: {why}")
        self.failures.append(f"{row.title}: {side}: {why}")
        say(f"  {side} FAILED: {error}")

    async def _run(self, row: Row, side: str) -> dict[str, Any]:
        self.runs += 1
        mirror = self.mirrors[side]
        measured = await mirror.copy(row.name, row.workload, f"run{self.runs}", row.settings if side == MESH else ())
        self._note(side, measured.configuration)
        figures = told(measured, row.workload.record_bytes)
        say("  " + line(side, figures))
        return figures

    def _note(self, side: str, configuration: Mapping[str, str]) -> None:
        """What differs from row to row is told by the row: its codec, its topic, its tasks."""
        self.document["configurations"].setdefault(side, dict(configuration))


def turned(sides: Sequence[str], number: int) -> list[str]:
    """Another goes first in each round."""
    first = number % len(sides)
    return [*sides[first:], *sides[:first]]


def told(measured: Measured, record_bytes: int) -> dict[str, Any]:
    found = result(measured, record_bytes)
    if found.second_half.records < LEAST_PART * measured.watched.last.records:
        raise RuntimeError("the copy was complete before it could be measured: it needs a larger size")
    figures: dict[str, Any] = {
        "catch_up": asdict(found.catch_up),
        "second_half": asdict(found.second_half),
        "peak_rss_bytes": found.peak_rss_bytes,
    }
    if found.crossed_bytes is not None:
        records = measured.watched.last.records
        figures["border_bytes_per_byte"] = round(found.crossed_bytes / (records * record_bytes), 3)
    return figures


def line(side: str, figures: Mapping[str, Any]) -> str:
    half, memory = figures["second_half"], figures["peak_rss_bytes"]
    resident = " + ".join(f"{size / 1e6:.0f}" for size in memory.values())
    return (
        f"{side.ljust(26)}{half['mb_per_s']:7.1f} MB/s {half['cpu_s_per_gb']:7.2f} CPU-s/GB"
        f" {half['cpu_s_per_million']:7.2f} CPU-s/million, {resident} MB"
    )


async def measure(rows: Sequence[Row], repeat: int, *, with_start: bool, with_peer_start: bool) -> dict[str, Any]:
    """The document. Whatever fails before the first row raises RuntimeError."""
    began_s = time.monotonic()
    document = empty(repeat)
    say("starting two brokers and two gateways")
    async with ground() as made:
        for row in rows:
            await made.source.topics.create(row.name, row.workload.partitions, {})
        await made.source.topics.create(FIRST_TOPIC, FIRST_LOAD.partitions, {})
        mesh = await Mesh.make(made, [*(row.name for row in rows), FIRST_TOPIC])
        tuned = MirrorMaker(made, True)
        suite = Suite(made, {MESH: mesh, TUNED: tuned, AS_IT_COMES: MirrorMaker(made, False)}, repeat, document)
        if with_start:
            try:
                starts = await first_records(mesh, tuned if with_peer_start else None, repeat)
                document["first_record"] = {side: [asdict(each) for each in found] for side, found in starts.items()}
                say(f"start to first record: {document['first_record']}")
            except FAILURES as error:
                suite.failures.append(f"start to first record: {error}")
                say(suite.failures[-1])
        for row in rows:
            await suite.measure(row)
    document["failures"] = suite.failures
    document["minutes"] = round((time.monotonic() - began_s) / 60, 1)
    return document


def empty(repeat: int) -> dict[str, Any]:
    return {
        "versions": versions(),
        "load_average_before": round(os.getloadavg()[0], 1),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "brokers": {"count": "two, A and B, of one node each", "heap_mb": str(HEAP_MB), **PROPERTIES},
        "repeat": repeat,
        "configurations": {},
        "first_record": {},
        "rows": [],
    }


def estimate_s(rows: Sequence[Row], repeat: int, *, with_start: bool) -> float:
    return (
        BROKERS_ESTIMATE_S + sum(row.estimate_s(repeat) for row in rows) + with_start * START_ESTIMATE_S * (repeat + 1)
    )


def plan(rows: Sequence[Row], repeat: int) -> str:
    lines = [
        f"  {row.title.ljust(44)}{row.workload.size_gb:5.2f} GB x {row.repeats(repeat)}"
        f"  about {row.estimate_s(repeat) / 60:4.1f} min"
        for row in rows
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=[], help=f"of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--quick", action="store_true", help="two small rows, once")
    parser.add_argument("--repeat", type=int, default=REPEAT, help="of rows with a target")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; below 1 MirrorMaker is not compiled")
    parser.add_argument("--without-start", action="store_true", help="leave out start to first record")
    parser.add_argument("--json", type=Path, help="write the result there")
    given = parser.parse_args(arguments)
    try:
        rows = [row.scaled(given.scale) for row in chosen(given.rows, QUICK if given.quick else ROWS)]
    except ValueError as error:
        parser.error(str(error))
    repeat = 1 if given.quick else given.repeat
    if (load := os.getloadavg()[0]) > QUIET_LOAD:
        say(f"the machine is busy already (load average {load:.1f}): only ratios of one run mean anything")
    say(plan(rows, repeat))
    with_start = not given.without_start
    document = asyncio.run(measure(rows, repeat, with_start=with_start, with_peer_start=not given.quick))
    say("\nversions: " + ", ".join(f"{name} {version}" for name, version in document["versions"].items()))
    for side, settings in {"brokers": document["brokers"], **document["configurations"]}.items():
        say("\n".join([f"{side}, configuration:", *(f"  {key} = {value}" for key, value in settings.items())]))
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for failure in document["failures"]:
        say(f"failed: {failure}")
    return 1 if document["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
