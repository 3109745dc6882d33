"""Hunts in a copy of the project: schedules of the simulator, each judged by the verifier, until a check fails.

    python -m tests.planted.hunt --check fencing --seed 17 --scratch DIRECTORY        one line of JSON, see `Found`

Every schedule that can be written down is judged by the verifier. What the simulator finds by itself counts where
no check is named (`--check ""`), and in the schedules that cannot be written down.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import structlog

from tests.simulator import loop
from tests.simulator.plan import Plan, draw
from tests.simulator.recording import NOT_JUDGED, can_be_recorded
from tests.simulator.verdict import Outcome
from tests.simulator.world import simulate
from tests.verifier.findings import Judgement, Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run

STEPS = 10_000
"""A schedule takes some hundreds; one that a bug keeps busy is given up sooner than in a campaign."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a hunt came to. `seed` is -1 where nothing was found."""

    seed: int
    check: str
    finding: str
    schedules: int
    took_s: float
    """Of one core; of a scene by the clock."""
    others: tuple[str, ...] = ()
    """Checks that failed in the same schedule, or in one before it."""


def hunt(seeds: Iterable[int], check: str, scratch: Path) -> Found:
    """Until the check fails; with no check, until anything is found. Schedules are written down in `scratch`."""
    began_s, schedules = time.process_time(), 0
    others: dict[str, None] = {}
    for seed in seeds:
        schedules += 1
        failed = dict(_failed(draw(seed), scratch))
        named = check if check in failed else next(iter(failed), "") if not check else ""
        others |= dict.fromkeys(name for name in failed if name != named)
        if named:
            return Found(seed, named, failed[named], schedules, time.process_time() - began_s, tuple(others))
    return Found(-1, "", "", schedules, time.process_time() - began_s, tuple(others))


def _failed(plan: Plan, scratch: Path) -> Iterator[tuple[str, str]]:
    """Each check that fails in a schedule, with its first finding."""
    if not can_be_recorded(plan):
        yield from _told(simulate(plan))
        return
    directory = scratch / f"schedule-{plan.seed}"
    directory.mkdir()
    try:
        outcome = simulate(plan, directory)
        judgements = judge(read_run(directory), NOT_JUDGED)
    finally:
        shutil.rmtree(directory)
    failed = [each for each in judgements if each.verdict is Verdict.FAIL]
    yield from ((each.check, first_sentence(each)) for each in failed)
    if not failed:
        yield from _told(outcome)


def first_sentence(judgement: Judgement) -> str:
    return judgement.findings[0].sentence


def _told(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What the simulator's own oracle says, apart from what the verifier does."""
    if outcome.violations:
        yield "simulator", outcome.violations[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted.hunt", description=__doc__)
    parser.add_argument("--check", default="", help="which check must fail; empty: any")
    parser.add_argument("--first", type=int, nargs="*", default=[], help="seeds to be tried first")
    parser.add_argument("--seed", type=int, default=1, help="then from here on")
    parser.add_argument("--limit", type=int, default=4000, help="so many")
    parser.add_argument("--scratch", type=Path, required=True, help="a directory for what is written down of schedules")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    loop.STEP_LIMIT = STEPS
    gc.freeze()  # what is there now stays: a collection need not look at it
    seeds = chain(options.first, range(options.seed, options.seed + options.limit))
    print(json.dumps(asdict(hunt(seeds, options.check, options.scratch))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
