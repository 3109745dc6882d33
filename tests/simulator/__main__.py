"""python -m tests.simulator --schedules 10000 --seed 1        a campaign; exits 1 where anything was violated
python -m tests.simulator --seed 4711 --only                one schedule again, with its story
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulator.campaign import Campaign, kind_of, prepare, shrink, side_by_side, told
from tests.simulator.plan import draw
from tests.simulator.world import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, help="how many, at seeds that follow each other")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--only", action="store_true", help="run just this seed and tell what happens")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--no-shrink", action="store_true", help="do not make failing schedules smaller")
    options = parser.parse_args()
    prepare()
    if options.only:
        return _only(options.seed)
    return _campaign(options.seed, options.schedules, options.failures, options.jobs, shrinks=not options.no_shrink)


def _only(seed: int) -> int:
    outcome = simulate(draw(seed))
    print(told(draw(seed), outcome))
    print("\n".join(outcome.violations) or "nothing was violated")
    return 1 if outcome.violations else 0


def _campaign(seed: int, schedules: int, failures: int, jobs: int, *, shrinks: bool) -> int:
    campaign = Campaign()
    print(f"schedules of seeds {seed} to {seed + schedules - 1}", flush=True)
    began_s = time.monotonic()
    for part in side_by_side(seed, schedules, jobs):
        campaign.add(part)
        for outcome in part.failed:
            _report(outcome.seed, kind_of(outcome), shrinks=shrinks)
        if len(campaign.failed) >= failures:
            break
    for what, times in sorted(campaign.seen.items()):
        print(f"  {times:8}  {what}")
    for what in campaign.never:
        print(f"  NEVER     {what}")
    print(
        f"{campaign.schedules} schedules, {campaign.steps} steps, {campaign.per_second:.0f} schedules a second of one "
        f"core, {time.monotonic() - began_s:.0f} s, {len(campaign.failed)} with violations, "
        f"{len(campaign.never)} states never met"
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
