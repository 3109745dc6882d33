"""The whole benchmark: every part after the other, then all targets in one line.

    python -m bench [--quick] [--only PART...] [--repeat 3] [--results bench/results]

Each part is a program of its own and writes its result as JSON. A part that fails leaves none, so that no figure of an
earlier run passes for one of this; the others go on, and the exit code is 1. What ends up in bench/results is put into
docs/performance.md and its chart (`bench.table`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import suite, table, targets
from bench.rows import QUICK, ROWS

QUICK_RESULTS = Path("build/bench")


@dataclass(frozen=True, slots=True)
class Part:
    """`python -m MODULE WORDS --json RESULTS/NAME.json`."""

    name: str
    module: str
    what: str
    minutes: float
    words: tuple[str, ...] = ()

    def command(self, results: Path) -> list[str]:
        return [sys.executable, "-m", self.module, *self.words, "--json", str(self.result(results))]

    def result(self, results: Path) -> Path:
        return results / f"{self.name}.json"


def parts(repeat: int) -> list[Part]:
    catch_up_s = suite.estimate_s(ROWS, repeat, with_start=True)
    what = f"{len(ROWS)} workloads, mesh and MirrorMaker 2 by turns"
    return [
        Part("catchup", "bench.suite", what, catch_up_s / 60, ("--repeat", str(repeat))),
        Part("latency", "bench.latency", "500, 5,000 and 20,000 records/s", 5.5),
        Part("round-trip", "bench.round_trip", "0, 20 and 100 ms of added round trip", 4.0, ("--turns", "1")),
        Part("growth", "bench.growth", "1 to 1,000 lanes, 1 to 16 peers", 6.0, ("--only", "lanes,peers")),
        Part("offset-lookup", "bench.offset_lookup", "a map of a million runs", 0.5),
    ]


def quick_parts() -> list[Part]:
    catch_up_s = suite.estimate_s(QUICK, 1, with_start=True)
    return [
        Part("catchup", "bench.suite", "two workloads, once", catch_up_s / 60, ("--quick",)),
        Part("latency", "bench.latency", "500 records/s, for some seconds", 1.2, ("--quick", "--rates", "500")),
        Part("offset-lookup", "bench.offset_lookup", "a map of a million runs", 0.3),
    ]


def plan(chosen: Sequence[Part]) -> str:
    lines = [f"  {part.name.ljust(16)}about {part.minutes:4.1f} min  {part.what}" for part in chosen]
    total = sum(part.minutes for part in chosen)
    return "\n".join([f"about {total:.0f} minutes on two cores that have nothing else to do:", *lines])


def run(chosen: Sequence[Part], results: Path) -> list[str]:
    """The names of the parts that failed."""
    failed = []
    for part in chosen:
        part.result(results).unlink(missing_ok=True)
        print(f"\n=== {part.name}", flush=True)
        began_s = time.monotonic()
        code = subprocess.run(part.command(results), check=False).returncode
        print(f"=== {part.name}: code {code}, {(time.monotonic() - began_s) / 60:.1f} minutes", flush=True)
        if code:
            failed.append(part.name)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="under five minutes; results go to build/bench")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="of the parts that --plan names")
    parser.add_argument("--repeat", type=int, default=suite.REPEAT, help="of the rows of catch-up with a target")
    parser.add_argument("--results", type=Path, help="a directory")
    parser.add_argument("--plan", action="store_true", help="say what would be done and how long it takes, only")
    given = parser.parse_args(arguments)
    available = quick_parts() if given.quick else parts(given.repeat)
    if unknown := set(given.only) - {part.name for part in available}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chosen = [part for part in available if not given.only or part.name in given.only]
    print(plan(chosen), flush=True)
    if given.plan:
        return 0
    results = given.results or (QUICK_RESULTS if given.quick else targets.RESULTS)
    results.mkdir(parents=True, exist_ok=True)
    failed = run(chosen, results)
    if results == targets.RESULTS:
        table.main(["--write"])
    print()
    targets.main(["--results", str(results), *(["--measured"] if given.quick else [])])
    for name in failed:
        print(f"failed: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
