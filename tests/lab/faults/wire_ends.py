"""Connections that end at the wrong moment: resets while records are under way, and a cut at each byte in turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.lab.faults.wire_aims import Watched, link_of, met, wire_of_copy
from tests.lab.stage import Stage
from tests.lab.wire.weather import LATE_BYTES, Way

GREETING = {Way.TO_SERVER: 4 << 10, Way.TO_CLIENT: 5 << 10}
"""So many bytes pass until a link without lanes is quiet: TLS, HTTP/2, hello, proof."""
FARTHEST = 64 << 10
EARLY, LATE = 8, 4
"""Cut points of one strike, of each of the two links."""


@dataclass
class Resets:
    """RST to both gateways, some times in a row, each while bytes are under way."""

    row: str = "reset mid-frame"
    aims: tuple[str, ...] = ("reset mid-frame: with bytes under way",)
    times: int = 3
    _watched: Watched = field(default_factory=Watched)

    def strike(self, stage: Stage) -> None:
        link = link_of(stage)
        self._watched.begin(stage)
        for _ in range(self.times):
            stage.wait_progress()
            time.sleep(stage.chance.uniform(0, 0.2))
            link.reset()
        stage.counters.sometimes(self.aims[0], self._watched.grown(stage, "resets_under_way"))

    def heal(self, stage: Stage) -> None:
        """Whoever was cut off dials anew."""


def every_byte() -> Iterator[tuple[Way, int]]:
    """The first bytes of both directions, one by one, again and again."""
    points = [(way, at) for at in range(max(GREETING.values())) for way in Way if at < GREETING[way]]
    return itertools.cycle(points)


@dataclass
class CutSweep:
    """The next links are reset at some bytes of their greeting, and then at some among records.

    `early` are the bytes of the greeting; None: neighbours, anywhere in it. The whole sweep has a command of its own:
    tests/lab/wire/sweep.py.
    """

    early: Iterator[tuple[Way, int]] | None = None
    row: str = "reset at each byte"
    aims: tuple[str, ...] = ("reset at each byte: in a link's greeting", "reset at each byte: among records")
    _watched: Watched = field(default_factory=Watched)

    def strike(self, stage: Stage) -> None:
        link = link_of(stage)
        self._watched.begin(stage)
        early = self.early or itertools.islice(every_byte(), stage.chance.randrange(sum(GREETING.values())), None)
        for proxy in link.proxies:
            proxy.cut_each(itertools.islice(early, EARLY))
        link.reset()
        met("the early cuts", lambda: self._watched.grown(stage, "cuts") >= 2 * EARLY)
        stage.counters.sometimes(self.aims[0], self._watched.grown(stage, "cuts"))
        for proxy in link.proxies:
            proxy.cut_each((None, stage.chance.randrange(LATE_BYTES, FARTHEST)) for _ in range(LATE))
        link.reset()
        # A link that no lane uses has nothing to be cut in: which one that is, is theirs to choose.
        met("cuts among records", lambda: self._watched.grown(stage, "cuts_late") >= LATE)
        stage.counters.sometimes(self.aims[1], self._watched.grown(stage, "cuts_late"))

    def heal(self, stage: Stage) -> None:
        for proxy in link_of(stage).proxies:
            proxy.cut_each([])
        link_of(stage).reset()


@dataclass
class BrokerResets:
    """The copy's connections to its broker are reset while appends are under way: their outcome is unknown."""

    row: str = "reset mid-append"
    aims: tuple[str, ...] = ("reset mid-append: with bytes under way",)
    times: int = 3

    def strike(self, stage: Stage) -> None:
        wire = wire_of_copy(stage)
        before = wire.counters().resets_under_way
        for _ in range(self.times):
            stage.wait_progress()
            time.sleep(stage.chance.uniform(0, 0.1))
            wire.reset()
        stage.counters.sometimes(self.aims[0], wire.counters().resets_under_way - before)

    def heal(self, stage: Stage) -> None:
        """Whoever was cut off dials anew."""
