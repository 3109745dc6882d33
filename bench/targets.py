"""Every target as a value: those of catch-up from its result, the others as their benchmarks state them.

    python -m bench.targets [--results bench/results] [--measured]

A ratio to MirrorMaker is that of two runs of the same round, which follow each other; of several rounds, the median. It
is taken in the second half of a copy, when MirrorMaker is compiled: the whole copy is kinder to us, and stands in the
results. What was not measured, because its benchmark was not run or failed, is not met; with `--measured` it is left
out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.goal import Target
from bench.mirrors import MESH, TUNED

RESULTS = Path("bench/results")
CATCH_UP = "catchup"
PHASE = "second_half"
MAIN = "1kb-256kb-lz4"
WHOLE_MOST, FIRST_RECORD_MOST_S, RESIDENT_MOST_MB = 0.5, 2.0, 150.0
OF_PEER = "of MirrorMaker 2"
LANES, PEERS = "1,000", 16
REQUIRED: Mapping[str, Sequence[str]] = {
    "latency": ("latency p50 at 500 records/s", "latency p99 at 500 records/s"),
    "round-trip": ("throughput lost by 100 ms of added round trip, 4 lanes",),
    "growth": (
        f"CPU per GB at {LANES} lanes",
        f"CPU of an idle lane, {LANES} of them",
        f"memory of an idle lane, {LANES} of them, exporter",
        f"memory of an idle lane, {LANES} of them, importer",
        f"exporter's CPU per GB delivered to each of {PEERS} subscribers",
    ),
    "offset-lookup": ("offset lookup, 1,000,000 runs", "offset map, 1,000,000 runs"),
}
"""What the other results have to state, by file."""

Document = Mapping[str, Any]


class Limits(NamedTuple):
    """Against MirrorMaker, tuned: CPU at most, throughput at least."""

    cpu: float
    throughput: float


LIMITS: Mapping[str, Limits] = {
    "100b-16kb-lz4": Limits(1 / 4, 2.0),
    "1kb-16kb-lz4": Limits(1 / 3, 1.5),
    MAIN: Limits(1 / 3, 2.0),
    "10kb-256kb-lz4": Limits(1 / 2, 1.3),
    "1kb-one-record": Limits(1 / 2, 1.0),
}
"""By row."""


class Spread(NamedTuple):
    median: float
    least: float
    most: float

    def text(self, places: int = 2) -> str:
        if round(self.least, places) == round(self.most, places):
            return f"{self.median:.{places}f}"
        return f"{self.median:.{places}f} ({self.least:.{places}f} to {self.most:.{places}f})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`target` is None where it was not measured."""

    name: str
    target: Target | None
    spread: Spread | None = None

    @property
    def met(self) -> bool:
        return self.target is not None and self.target.met

    @property
    def line(self) -> str:
        return self.target.line if self.target else f"{'NONE':7} {self.name}: not measured"


Run = Mapping[str, Any]


def cpu(run: Run) -> float:
    """CPU seconds of everything that mirrors, per GB."""
    return float(run[PHASE]["cpu_s_per_gb"])


def throughput(run: Run) -> float:
    return float(run[PHASE]["mb_per_s"])


def whole_cpu(run: Run) -> float:
    """CPU seconds per GB of everything that mirrors and of both brokers."""
    return float(sum(run[PHASE]["cpu_s_per_gb_by_process"].values()))


def resident_mb(run: Run) -> float:
    """The peak of the larger process."""
    return float(max(run["peak_rss_bytes"].values()) / 1e6)


def ratios(row: Document, figure: Callable[[Run], float]) -> list[float]:
    """Ours to MirrorMaker's, by round; none where a copy of the row failed, since rounds no longer match."""
    runs = row["runs"]
    if row["failed"] or not runs.get(TUNED) or not runs.get(MESH):
        return []
    return [figure(mesh) / figure(peer) for mesh, peer in zip(runs[MESH], runs[TUNED], strict=True)]


def of_catch_up(document: Document) -> Iterator[Verdict]:
    rows = {row["name"]: row for row in document.get("rows", ())}
    for name, limits in LIMITS.items():
        title = rows[name]["title"] if name in rows else name
        row = rows.get(name, {"runs": {}, "failed": []})
        yield _verdict(f"{title}: CPU per GB", ratios(row, cpu), limits.cpu, OF_PEER)
        yield _verdict(f"{title}: throughput", ratios(row, throughput), limits.throughput, OF_PEER, at_least=True)
    main = rows.get(MAIN, {"runs": {}, "failed": []})
    yield _verdict("1 KB: CPU with both brokers", ratios(main, whole_cpu), WHOLE_MOST, OF_PEER)
    starts = [each["seconds"] for each in document.get("first_record", {}).get(MESH, ())]
    yield _verdict("start to first record", starts, FIRST_RECORD_MOST_S, "s")
    judged = [row for name, row in rows.items() if name in LIMITS and row["runs"].get(MESH)]
    resident = [statistics.median(map(resident_mb, row["runs"][MESH])) for row in judged]
    name = "peak resident memory of a gateway, the worst of these rows"
    yield _verdict(name, [max(resident)] if resident else [], RESIDENT_MOST_MB, "MB")


def _verdict(name: str, values: Sequence[float], limit: float, unit: str, *, at_least: bool = False) -> Verdict:
    if not values:
        return Verdict(name, None)
    found = spread(values)
    return Verdict(name, Target(name, found.median, limit, unit, at_least), found)


def stated(document: Document, required: Sequence[str]) -> Iterator[Verdict]:
    """What another benchmark says of its targets, and those of `required` of which it says nothing."""
    found = [Target(**{key: each[key] for key in each if key != "met"}) for each in document.get("targets", ())]
    for target in found:
        yield Verdict(target.name, target)
    for name in required:
        if name not in {target.name for target in found}:
            yield Verdict(name, None)


def verdicts(documents: Mapping[str, Document], *, measured_only: bool = False) -> list[Verdict]:
    """Of all results by their names; one that is not there counts as not measured."""
    found = [*of_catch_up(documents.get(CATCH_UP, {}))]
    for name, required in REQUIRED.items():
        found += stated(documents.get(name, {}), required)
    return [each for each in found if each.target is not None or not measured_only]


def loaded(directory: Path) -> dict[str, Document]:
    names = [CATCH_UP, *REQUIRED]
    files = {name: directory / f"{name}.json" for name in names}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}


def closing_line(found: Sequence[Verdict]) -> str:
    return f"bench: {sum(each.met for each in found)} of {len(found)} targets met"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--measured", action="store_true", help="count only what was measured")
    given = parser.parse_args(arguments)
    found = verdicts(loaded(given.results), measured_only=given.measured)
    for each in found:
        print(each.line)
    print(f"\n{closing_line(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
