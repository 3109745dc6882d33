"""Killing processes at random moments of a mirror, and proof that each kill struck while records were under way.

The moments are numbers of records that have arrived, drawn from a seed: each kill waits for its number, not for a time.
The seed is printed; `SCENARIO_SEED` in the environment repeats a run's victims and moments.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.support.organization import wait_for

FIRST, LAST = 0.02, 0.9
"""The part of the run in which kills strike: later ones could come when everything has arrived."""


class Victim(Protocol):
    def kill(self) -> None: ...

    def revive(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Strike:
    """One kill: how many records had arrived before it and when the lanes could say so again.

    `restart_s` is from the kill until its victims were up, `recovery_s` from there until another record arrived.
    """

    victims: tuple[str, ...]
    arrived: int
    arrived_after: int
    restart_s: float
    recovery_s: float

    def __str__(self) -> str:
        names = "+".join(self.victims)
        return f"{names} at {self.arrived}: up {self.restart_s:.1f} s, progress {self.recovery_s:.1f} s later"


def new_seed() -> int:
    given = os.environ.get("SCENARIO_SEED")
    return int(given) if given else random.SystemRandom().randrange(1 << 32)


def strike_all(
    seed: int, victims: Mapping[str, Victim], plan: Sequence[tuple[str, ...]], arrived: Callable[[], int], total: int
) -> list[Strike]:
    """Carry out `plan` (who dies together) in random order at random moments; returns after the last recovery."""
    chance = random.Random(seed)
    order = chance.sample(plan, len(plan))
    width = (LAST - FIRST) * total / len(plan)
    moments = [int(FIRST * total + width * (at + chance.random())) for at in range(len(plan))]
    return [_strike(names, victims, moment, arrived, total) for names, moment in zip(order, moments, strict=True)]


def _strike(
    names: tuple[str, ...], victims: Mapping[str, Victim], moment: int, arrived: Callable[[], int], total: int
) -> Strike:
    before = wait_for(f"{moment} records to arrive before {names} die", lambda: _at_least(arrived(), moment), 90)
    began = time.monotonic()
    for name in names:
        victims[name].kill()
    for name in names:
        victims[name].revive()
    up = time.monotonic()
    # between the look and the kill more may have arrived: only what comes after this counts as progress
    held = wait_for("the lanes to say where they are", lambda: _at_least(arrived(), before), 90)
    wait_for(f"progress after {names} died at {held}", lambda: arrived() > held or held == total, 90)
    return Strike(names, before, held, up - began, time.monotonic() - up)


def _at_least(found: int, least: int) -> int | None:
    return found if found >= least else None


def report(seed: int, strikes: Sequence[Strike], total: int) -> str:
    """The figures of a run; fails where somebody was never killed in the middle of it."""
    struck = [strike for strike in strikes if 0 < strike.arrived < total]
    idle = {name for strike in strikes for name in strike.victims} - {name for each in struck for name in each.victims}
    assert not idle, f"{idle} died only when nothing was under way: {strikes}"
    lines = [f"  {each}" for each in strikes]
    head = f"seed {seed}: {len(struck)} of {len(strikes)} kills struck in the middle of {total} records"
    up = _figures([each.restart_s for each in strikes])
    progress = _figures([each.recovery_s for each in strikes])
    return "\n".join([f"{head}; kill to up {up}, up to progress {progress}", *lines])


def _figures(times_s: Sequence[float]) -> str:
    ordered = sorted(times_s)
    return f"p50 {ordered[len(ordered) // 2]:.1f} s, max {ordered[-1]:.1f} s"
