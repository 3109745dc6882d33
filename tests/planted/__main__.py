"""python -m tests.planted                    each of the twenty bugs, in a copy of its own, until its check fails
python -m tests.planted --from-scratch     without the seeds that found them once: the honest figures; with --keep,
                                           what finds them now is kept for the short form
python -m tests.planted --only abort       only bugs whose patch or words say so; --beyond: those beyond the twenty, too

Then the same hunts in the project as it is: the same scenes, and the schedules that found something, or with
--from-scratch as many as the longest hunt took. Exits 1 where a bug was not caught by the check that is meant to
catch it, or where those find anything.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.planted.hunting import Caught, hunted, spared
from tests.planted.table import BEYOND, SIMULATOR, TWENTY, Bug, keep_seeds, known_seeds

LIMIT = 4000
HEADS = ("bug", "caught by", "check", "after", "seed")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("--only", default="", help="only bugs whose patch or words contain this")
    parser.add_argument("--jobs", type=int, default=2, help="how many hunts side by side")
    parser.add_argument("--json", type=Path, help="write the results here, too")
    parser.add_argument("--from-scratch", action="store_true", help="search from seed 1 on, not at known seeds")
    parser.add_argument("--keep", action="store_true", help="keep the seeds for the short form")
    parser.add_argument("--beyond", action="store_true", help="those beyond the twenty, too")
    parser.add_argument("--limit", type=int, default=LIMIT, help="schedules for each")
    options = parser.parse_args()
    bugs = [bug for bug in TWENTY + (BEYOND if options.beyond else ()) if options.only in f"{bug.patch} {bug.says}"]
    found = hunted_all(bugs, options.jobs, options.limit, from_scratch=options.from_scratch)
    seeds = {each.bug.patch: each.seed for each in found if each.bug.by == SIMULATOR and each.is_caught}
    longest = max((each.schedules for each in found), default=0)
    again = range(1, longest + 1) if options.from_scratch else sorted(set(seeds.values()))
    nothing = spared(tuple(bugs), tuple(again))
    for each in (each for each in nothing if each.check or each.trouble):
        print(f"FOUND WITHOUT A BUG: {each.check} at seed {each.seed} ({each.bug.by}): {each.finding}{each.trouble}")
    if options.json is not None:
        options.json.write_text(json.dumps([told(each) for each in found], indent=2) + "\n", encoding="utf-8")
    if options.keep:
        keep_seeds(seeds)
    return 1 if closing(found, nothing) else 0


def hunted_all(bugs: Iterable[Bug], jobs: int, limit: int, *, from_scratch: bool) -> list[Caught]:
    """In the order of `bugs`, each printed when it is there. The slow ones begin first."""
    known = {} if from_scratch else known_seeds()
    widths = (62, 14, 18, 26)
    print(_row(HEADS, widths))
    with ThreadPoolExecutor(jobs) as pool:
        begun = {}
        for bug in sorted(bugs, key=lambda bug: bug.by == SIMULATOR):
            first = (known[bug.patch],) if bug.patch in known else ()
            begun[bug.patch] = pool.submit(partial(hunted, bug, first, limit))
        found = []
        for bug in sorted(bugs, key=lambda bug: bug.patch):
            caught = begun[bug.patch].result()
            found.append(caught)
            print(
                _row((bug.says, _by(bug), caught.check or bug.check, caught.after, _seed(caught)), widths), flush=True
            )
            if caught.trouble:
                print(f"    {caught.trouble}")
    return found


def closing(found: list[Caught], nothing: list[Caught]) -> bool:
    """Prints the last lines; answers whether something is wrong."""
    without = sum(bool(each.check or each.trouble) for each in nothing)
    schedules = sum(each.schedules for each in nothing if each.bug.by == SIMULATOR)
    scenes = sum(each.bug.by != SIMULATOR for each in nothing)
    print(f"without a bug: {without} findings in {schedules} schedules and {scenes} scenes")
    beyond = [each for each in found if each.bug in BEYOND]
    if beyond:
        print(f"beyond the twenty: {sum(each.is_caught for each in beyond)}/{len(beyond)}")
    twenty = [each for each in found if each.bug in TWENTY]
    caught = sum(each.is_caught for each in twenty)
    print(f"planted bugs caught: {caught}/{len(twenty)}")
    return bool(without) or not all(each.is_caught for each in found)


def told(caught: Caught) -> dict[str, object]:
    return asdict(caught) | {"bug": caught.bug.says, "patch": caught.bug.patch, "caught": caught.is_caught}


def _by(bug: Bug) -> str:
    return "simulator" if bug.by == SIMULATOR else "laboratory"


def _seed(caught: Caught) -> str:
    return str(caught.seed) if caught.is_caught and caught.bug.by == SIMULATOR else ""


def _row(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    return " | ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[-1]]).rstrip()


if __name__ == "__main__":
    sys.exit(main())
