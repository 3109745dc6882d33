"""A slow wire: latency with jitter, 1 MB/s, tiny writes; and a slow broker of the copy."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.lab.faults.wire_aims import Watched, link_of, met, wire_of_copy
from tests.lab.stage import Stage
from tests.lab.wire.weather import Way

PRODUCE_S = 5.0
OVERDUE = "no answer within"
THROUGH_BYTES = 1000
"""After so many late bytes what arrives has come through the latency."""


@dataclass
class Latency:
    """20 to 500 ms each way, half of it again as jitter; records go on through it."""

    row: str = "latency and jitter"
    aims: tuple[str, ...] = ("latency: records went on through it",)
    _watched: Watched = field(default_factory=Watched)

    def strike(self, stage: Stage) -> None:
        latency_s = stage.chance.uniform(0.02, 0.5)
        self._watched.begin(stage)
        link_of(stage).weather(latency_s=latency_s, jitter_s=latency_s / 2)
        if met("bytes that are late", lambda: self._watched.grown(stage, "bytes_late") > THROUGH_BYTES):
            stage.wait_progress()
            stage.counters.sometimes(self.aims[0])

    def heal(self, stage: Stage) -> None:
        link_of(stage).calm()


@dataclass
class Narrow:
    """1 MB/s in each direction, in writes of a few bytes now and then."""

    row: str = "1 MB/s"
    aims: tuple[str, ...] = ("1 MB/s: records went on in slices",)
    _watched: Watched = field(default_factory=Watched)

    def strike(self, stage: Stage) -> None:
        self._watched.begin(stage)
        link_of(stage).weather(bytes_per_s=1e6, slice_bytes=stage.chance.choice([10, 100, 1000]))
        if met("slices", lambda: self._watched.grown(stage, "sliced")):
            stage.wait_progress()
            stage.counters.sometimes(self.aims[0])

    def heal(self, stage: Stage) -> None:
        link_of(stage).calm()


@dataclass
class SlowBroker:
    """Every answer of the copy's broker comes `latency_s` late: a produce takes that long.

    Where that is more than `timing.append_timeout_s`, outcomes are unknown, and the log is asked: `overdue`.
    """

    latency_s: float = PRODUCE_S
    overdue: bool = True

    @property
    def row(self) -> str:
        return "slow broker, beyond the time for an append" if self.overdue else "slow broker"

    @property
    def aims(self) -> tuple[str, ...]:
        return (f"{self.row}: answers came after their time" if self.overdue else f"{self.row}: records went on",)

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        wire, organization = wire_of_copy(stage), stage.copy.organization
        before, logged = wire.counters().bytes_late, len(organization.log)
        wire.weather(Way.TO_CLIENT, latency_s=self.latency_s)
        if not met("answers that are late", lambda: wire.counters().bytes_late > before):
            return
        if self.overdue:
            if met("an answer that is overdue", lambda: OVERDUE in organization.log[logged:]):
                stage.counters.sometimes(self.aims[0])
        else:
            stage.wait_progress(stage.wait_progress())
            stage.counters.sometimes(self.aims[0])

    def heal(self, stage: Stage) -> None:
        wire_of_copy(stage).calm()


@dataclass
class BrokerUnreachable:
    """The copy's gateway does not reach its broker; the broker lives, and so does the link."""

    row: str = "partition from the broker"
    aims: tuple[str, ...] = ("partition from the broker: a reset with requests under way",)

    def strike(self, stage: Stage) -> None:
        stage.wait_progress()
        wire = wire_of_copy(stage)
        before = wire.counters().resets_under_way
        wire.reset()
        wire.weather(is_held=True)
        if wire.counters().resets_under_way > before:
            stage.counters.sometimes(self.aims[0])

    def heal(self, stage: Stage) -> None:
        wire_of_copy(stage).calm()
