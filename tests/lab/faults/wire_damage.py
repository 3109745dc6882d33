"""Bytes of the link that were changed, doubled, swapped or lost on the way: TLS must notice, and the link ends.

Below TLS nothing of this can reach a gateway; frames themselves are damaged in tests/lab/wire/frames.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.lab.faults.wire_aims import Watched, link_of, links, met
from tests.lab.stage import Stage
from tests.lab.wire.between import Toward

KINDS = {"flipped": "flip_chance", "doubled": "double_chance", "swapped": "swap_chance"}
COUNTED = {"flipped": "flips", "doubled": "doubled", "swapped": "swapped", "lost": "bytes_lost"}
PART = 0.2


@dataclass
class Damaged:
    """`kind` is flipped, doubled or swapped; a part of the pieces of the chosen direction, until the link has ended."""

    kind: str
    toward: Toward
    _watched: Watched = field(default_factory=Watched)

    @property
    def row(self) -> str:
        return f"bytes {self.kind}"

    @property
    def aims(self) -> tuple[str, ...]:
        return f"bytes {self.kind} toward the {self.toward}", f"bytes {self.kind}: the link ended"

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        self._watched.begin(stage)
        link_of(stage).weather(self.toward, **{KINDS[self.kind]: PART})
        self._meet(stage)

    def _meet(self, stage: Stage) -> None:
        if met(f"bytes that are {self.kind}", lambda: self._watched.grown(stage, COUNTED[self.kind])):
            stage.counters.sometimes(self.aims[0])
        if met("the end of the link", lambda: self._watched.grown(stage, "connections") or not _linked(stage)):
            stage.counters.sometimes(self.aims[1])

    def heal(self, stage: Stage) -> None:
        link_of(stage).calm()


@dataclass
class Lost(Damaged):
    """Bytes vanish and those behind them arrive: what TCP never does, and a broken middle box may."""

    kind: str = "lost"
    toward: Toward = Toward.COPY

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        self._watched.begin(stage)
        link_of(stage).weather(self.toward, is_lost=True)
        met("bytes that are lost", lambda: self._watched.grown(stage, "bytes_lost"))
        link_of(stage).weather(self.toward, is_lost=False)
        self._meet(stage)


def _linked(stage: Stage) -> bool:
    return all(links(site.organization) != 0 for site in stage.sites)
