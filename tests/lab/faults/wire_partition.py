"""Partitions between the gateways: of both directions or one, short ones, ones that outlive the link, and flapping.

A partition holds what is sent, as TCP does where no packet comes through; who gave the connection up meanwhile has
written into nothing. Connections begin in neither direction, since that takes both.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.lab.faults.wire_aims import Watched, link_of, links, met, stands_still
from tests.lab.stage import Stage
from tests.lab.wire.between import Toward


@dataclass
class Partition:
    """`toward`: nothing arrives at that gateway; None: at neither. `outlives`: until both have given the link up."""

    toward: Toward | None = None
    outlives: bool = False

    @property
    def row(self) -> str:
        which = "partition" if self.toward is None else f"one-way partition toward the {self.toward}"
        return f"{which} that outlives the link" if self.outlives else which

    @property
    def aims(self) -> tuple[str, ...]:
        found = (f"{self.row}: the lanes stood still",)
        return (*found, f"{self.row}: both gave the link up") if self.outlives else found

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        link_of(stage).weather(self.toward, is_held=True)
        # Toward the source alone, records go on until the credit is used up, and acknowledgements are late.
        if met("a stall", lambda: stands_still(stage)):
            stage.counters.sometimes(self.aims[0])
        # A gateway gives up after three heartbeats; both were told another interval, if any.
        if self.outlives and met("the end of the link", lambda: _gave_up(stage), 60):
            stage.counters.sometimes(self.aims[1])

    def heal(self, stage: Stage) -> None:
        link_of(stage).calm()


def _gave_up(stage: Stage) -> bool:
    return all(links(site.organization) == 0 for site in stage.sites)


@dataclass
class HalfOpen:
    """One gateway's connections break, the other is not told: it must find out, or be told by the next link."""

    told: Toward
    row: str = "half-open link"
    _watched: Watched = field(default_factory=Watched)

    @property
    def aims(self) -> tuple[str, ...]:
        return (f"half-open link: the {self.told} was told, the other was not",)

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        self._watched.begin(stage)
        link_of(stage).forsake(self.told)
        if self._watched.grown(stage, "half_open"):
            stage.counters.sometimes(self.aims[0])

    def heal(self, stage: Stage) -> None:
        """Nothing to mend: whoever was not told must get along."""


@dataclass
class Flap:
    """The wire goes up and down, for moments of up to a second, until `heal`."""

    row: str = "flapping link"
    aims: tuple[str, ...] = ("flapping link: down while records were under way", "flapping link: down five times")
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _downs: int = 0

    def strike(self, stage: Stage) -> None:
        before = stage.wait_progress()
        moments = [stage.chance.uniform(0.05, 1.0) for _ in range(200)]
        self._thread = threading.Thread(target=self._flap, args=(stage, moments), name="flap", daemon=True)
        self._thread.start()
        if met("five times down", lambda: self._downs >= 5):
            stage.counters.sometimes(self.aims[1])
        if (stage.try_progress() or 0) > before:
            stage.counters.sometimes(self.aims[0])

    def _flap(self, stage: Stage, moments: list[float]) -> None:
        link = link_of(stage)
        for number, moment_s in enumerate(moments):
            link.weather(is_held=number % 2 == 0)
            self._downs += number % 2 == 0
            if self._stop.wait(moment_s):
                return

    def heal(self, stage: Stage) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        link_of(stage).calm()
