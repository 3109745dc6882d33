"""python -m tests.simulator --schedules 10000 --seed 1        a campaign; exits 1 where anything was violated
python -m tests.simulator --seed 4711 --only                one schedule again, with its story
python -m tests.simulator --bugs                            the mistakes planted, each with the seed that finds it
"""

from __future__ import annotations

import argparse
import gc
import sys

import structlog

from tests.simulator.bugs import BUGS, planted
from tests.simulator.campaign import Campaign, kind_of, shrink, told
from tests.simulator.plan import draw
from tests.simulator.world import simulate

BUG_LIMIT = 4000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, help="how many, at seeds that follow each other")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--only", action="store_true", help="run just this seed and tell what happens")
    parser.add_argument("--bugs", action="store_true", help="see how soon each planted mistake is found")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many")
    parser.add_argument("--no-shrink", action="store_true", help="do not make failing schedules smaller")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    gc.freeze()  # what is there now stays: a collection need not look at it
    if options.only:
        return _only(options.seed)
    if options.bugs:
        return _bugs(options.seed)
    return _campaign(options.seed, options.schedules, options.failures, shrinks=not options.no_shrink)


def _only(seed: int) -> int:
    outcome = simulate(draw(seed))
    print(told(draw(seed), outcome))
    print("\n".join(outcome.violations) or "nothing was violated")
    return 1 if outcome.violations else 0


def _bugs(seed: int) -> int:
    missed = 0
    for name in BUGS:
        campaign = Campaign()
        with planted(name):
            for _ in campaign.run(seed, BUG_LIMIT, enough_failures=1):
                pass
        found = campaign.failed[0] if campaign.failed else None
        missed += found is None
        after = f"after {campaign.schedules} schedules: {found.violations[0]}" if found else "NOT FOUND"
        print(f"{name:46} {after[:150]}", flush=True)
    print(f"{len(BUGS) - missed} of {len(BUGS)} planted mistakes found, each within {BUG_LIMIT} schedules")
    return 1 if missed else 0


def _campaign(seed: int, schedules: int, failures: int, *, shrinks: bool) -> int:
    campaign = Campaign()
    print(f"schedules of seeds {seed} to {seed + schedules - 1}", flush=True)
    for outcome in campaign.run(seed, schedules, failures):
        if outcome.violations:
            _report(outcome.seed, kind_of(outcome), shrinks=shrinks)
    for what, times in sorted(campaign.seen.items()):
        print(f"  {times:8}  {what}")
    for what in campaign.never:
        print(f"  NEVER     {what}")
    print(
        f"{campaign.schedules} schedules, {campaign.steps} steps, {campaign.per_second:.0f} schedules a second of one "
        f"core, {len(campaign.failed)} with violations, {len(campaign.never)} states never met"
    )
    return 1 if campaign.failed or campaign.never else 0


def _report(seed: int, kind: str, *, shrinks: bool) -> None:
    print(f"VIOLATION ({kind}), again with: python -m tests.simulator --seed {seed} --only")
    plan = draw(seed)
    plan, outcome = shrink(plan) if shrinks else (plan, simulate(plan))
    print(told(plan, outcome))
    print(f"  plan: {plan}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
