"""Many schedules, what they met and what went wrong; and how a failing one is made small.

A campaign counts only if it met the states that its faults aim at: `SOMETIMES` names them.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

import structlog

from tests.simulator.plan import Act, Plan, draw
from tests.simulator.verdict import Outcome
from tests.simulator.world import simulate

SOMETIMES = (
    "killed between append and checkpoint",
    "killed with appends under way",
    "records replayed",
    "taken over with appends under way",
    "appends of a former owner that landed",
    "appends held back without ownership",
    "appends that came in late",
    "logs asked with appends under way",
    "repeats answered with the first offset",
    "sequences refused",
    "a producer forgotten",
    "put refused to a former owner",
    "claims stolen by a former owner",
    "links cut with frames under way",
    "foreign writes accepted by the operator",
    "trim", "truncate", "recreate", "foreign", "restart-broker", "half-cut", "put after", "append full", "frozen",
    "truncate-copy", "recreate-copy", "promoted", "recreated", "rivals",
    "appends to a full disk",
    "puts to a full disk",
    "appends refused by another topic of the name",
    "appends refused after a cut",
    "appends that overtook an older connection's",
    "repeats of what was remembered no more",
    "producers forgotten between a question and an append",
    "appends held back by an answer older than the connection",
    "copies truncated that others made longer again",
    "begun within a transaction",
    "fetches from within a transaction",
    "stalls told of",
    "schedules of several lanes",
)  # fmt: skip
ENOUGH = 3000
"""From so many schedules on each of `SOMETIMES` must have come."""
PART = 100
"""Schedules that a process runs before it tells of them."""
SHRINK_RUNS = 400
OTHER_SEEDS = (0, 1_000_003, 2_000_003)


@dataclass
class Campaign:
    schedules: int = 0
    steps: int = 0
    cpu_s: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.schedules / max(self.cpu_s, 1e-9)

    @property
    def never(self) -> list[str]:
        """What should have come about and did not."""
        return [what for what in SOMETIMES if not self.seen[what]] if self.schedules >= ENOUGH else []

    def run(self, first_seed: int, schedules: int, enough_failures: int = 1 << 30) -> Iterator[Outcome]:
        """Run the schedules of the seeds from `first_seed` on; yields each outcome."""
        for seed in range(first_seed, first_seed + schedules):
            began_s = time.process_time()
            outcome = simulate(draw(seed))
            self.cpu_s += time.process_time() - began_s
            self.schedules += 1
            self.steps += outcome.steps
            self.seen += outcome.seen
            if outcome.violations:
                self.failed.append(outcome)
            yield outcome
            if len(self.failed) >= enough_failures:
                return

    def add(self, part: Campaign) -> None:
        """What another process has run of it."""
        self.schedules += part.schedules
        self.steps += part.steps
        self.cpu_s += part.cpu_s
        self.seen += part.seen
        self.failed += part.failed


def part_of(first_seed: int, schedules: int) -> Campaign:
    """A part of a campaign, for a process of its own."""
    part = Campaign()
    for _ in part.run(first_seed, schedules):
        pass
    return part


def side_by_side(first_seed: int, schedules: int, jobs: int) -> Iterator[Campaign]:
    """Every part of a campaign in the order of the seeds, of which `jobs` run at a time."""
    ends = first_seed + schedules
    firsts = range(first_seed, ends, PART)
    counts = [min(PART, ends - first) for first in firsts]
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=prepare) as pool:
        yield from pool.map(part_of, firsts, counts)


def prepare() -> None:
    """Once in each process that runs schedules."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    gc.freeze()  # what is there now stays: a collection need not look at it


def kind_of(outcome: Outcome) -> str:
    """The first word of what went wrong, empty where nothing did."""
    return outcome.violations[0].partition(":")[0] if outcome.violations else ""


def shrink(plan: Plan) -> tuple[Plan, Outcome]:
    """A plan with fewer faults and records that fails in the same way, and what comes of it."""
    best, outcome = plan, simulate(plan)
    kind, runs = kind_of(outcome), 0
    assert kind, "it does not fail"
    progress = True
    while progress and runs < SHRINK_RUNS:
        progress = False
        for smaller in _smaller(best):
            runs += 1
            found = simulate(smaller)
            if kind_of(found) == kind:
                best, outcome, progress = smaller, found, True
                break
    return best, outcome


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Each with one thing less; with other seeds, too, for what is left out moves all that follows."""
    for less in _with_less(plan):
        for other in OTHER_SEEDS:
            yield replace(less, seed=plan.seed + other)


def _with_less(plan: Plan) -> Iterator[Plan]:
    for index in range(len(plan.faults)):
        yield replace(plan, faults=plan.faults[:index] + plan.faults[index + 1 :])
    for index in range(len(plan.acts)):
        yield replace(plan, acts=plan.acts[:index] + plan.acts[index + 1 :])
    for index, act in enumerate(plan.acts):
        if act.count > 1:
            yield replace(plan, acts=(*plan.acts[:index], Act(act.kind, 1, act.pause_s), *plan.acts[index + 1 :]))
    if plan.chaos:
        yield replace(plan, chaos=0.0)


def told(plan: Plan, outcome: Outcome) -> str:
    """What happened, line by line."""
    settings = {name: getattr(plan, name) for name in Plan.__slots__ if name not in ("acts", "faults")}
    return "\n".join(
        [
            f"seed {outcome.seed}, trace {outcome.trace:016x}, {outcome.steps} steps",
            "  " + ", ".join(f"{name} {value}" for name, value in settings.items()),
            *("  " + line for line in outcome.story),
        ]
    )
