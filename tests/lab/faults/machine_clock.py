"""A gateway whose clock is wrong, jumps and stands still: only certificates and grants may care.

Before a leaf's validity begins, and after it has ended, a gateway with such a clock refuses it and lanes wait. They go
on when the clock is right; order and positions are for the verifier to judge, as in every run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.lab.faults.processes import named
from tests.lab.machine.clock import Clock
from tests.lab.stage import Stage

HOUR_S = 3600.0
A_WHILE_S = 1.0


@dataclass
class WrongClock:
    """`victim` (source, copy) is started with a clock that is right, then steps forward, stands still, steps back."""

    victim: str
    row: str = "clock steps and stands still"
    _clock: Clock | None = field(default=None, init=False)

    @property
    def aims(self) -> tuple[str, ...]:
        return tuple(
            f"records came in with a clock that {what} ({self.victim})" for what in ("is ahead", "stands still")
        )

    def strike(self, stage: Stage) -> None:
        site = named(stage, self.victim)
        stage.wait_progress()
        assert site.organization.stop() == 0
        self._clock = clock = Clock(stage.scratch / f"clock.{self.victim}")
        site.organization.start(environment=clock.environment())
        stage.wait_progress()
        clock.move(HOUR_S)
        self._met(stage, 0)
        clock.freeze(time.strftime("%Y-%m-%d %H:%M:%S"))
        self._met(stage, 1)
        # Before its leaf was made: what a peer makes of that is its affair; nothing is waited for.
        clock.move(-HOUR_S)
        time.sleep(A_WHILE_S)
        for _ in range(3):
            clock.move(stage.chance.uniform(-HOUR_S, HOUR_S))
            time.sleep(A_WHILE_S * stage.chance.random())

    def _met(self, stage: Stage, aim: int) -> None:
        stage.wait_progress()
        stage.wait_progress()
        stage.counters.sometimes(self.aims[aim])

    def heal(self, stage: Stage) -> None:
        """It goes on while the clock only becomes right again, and after a start without the shim."""
        if self._clock is not None:
            self._clock.move(0)
            stage.recover()
        named(stage, self.victim).organization.stop()
        stage.recover()
