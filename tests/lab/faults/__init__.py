"""The table of faults: every kind that a campaign lets strike, how often, and where.

A fault that is added here takes part in every campaign. `make` draws its particulars from the stage's seeded chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.failpoints import Place
from tests.lab.faults import (
    machine_clock,
    machine_damage,
    machine_disk,
    machine_zombie,
    processes,
    wire_damage,
    wire_ends,
    wire_partition,
    wire_speed,
)
from tests.lab.stage import Fault, Stage
from tests.lab.wire.between import Toward

EMBEDDED, KAFKA = "embedded", "kafka"
BOTH = frozenset({EMBEDDED, KAFKA})


def _always() -> str:
    return ""


@dataclass(frozen=True)
class Entry:
    """`weight`: how often, beside the others. `kills`: about how many SIGKILLs one strike is."""

    name: str
    make: Callable[[Stage], Fault]
    weight: int = 1
    kills: int = 1
    on: frozenset[str] = BOTH
    is_short: bool = False
    """Whether it belongs to `make faults`."""
    wired: bool = False
    """Whether it needs proxies between the gateways (`stage.link`) and before the brokers."""
    hindrance: Callable[[], str] = _always
    """Why it cannot strike on this machine; empty: it can."""


def _places(stage: Stage, places: tuple[Place, ...], count: int) -> list[Place]:
    return stage.chance.sample(places, min(count, len(places)))


def _importer(stage: Stage, count: int = 5) -> Fault:
    own = (*processes.STORING, *processes.MOVING) if stage.on_kafka else processes.COMMITTING
    return processes.KillAtPlaces("copy", _places(stage, (*processes.IMPORTER, *own, *processes.CONTROL), count))


def _exporter(stage: Stage, count: int = 4) -> Fault:
    own = () if stage.on_kafka else processes.COMMITTING
    return processes.KillAtPlaces("source", _places(stage, (*processes.EXPORTER, *own, *processes.CONTROL), count))


def _freeze_at(stage: Stage) -> Fault:
    victim = stage.chance.choice(["source", "copy"])
    places = processes.EXPORTER if victim == "source" else processes.IMPORTER[:6]
    return processes.FreezeAtPlace(victim, stage.chance.choice(places))


def _toward(stage: Stage) -> Toward:
    return stage.chance.choice(list(Toward))


def _partition(stage: Stage, *, outlives: bool) -> Fault:
    return wire_partition.Partition(stage.chance.choice([None, *Toward]), outlives)


def _damaged(stage: Stage) -> Fault:
    return wire_damage.Damaged(stage.chance.choice(list(wire_damage.KINDS)), _toward(stage))


def _wired(name: str, make: Callable[[Stage], Fault], on: frozenset[str] = BOTH) -> Entry:
    return Entry(name, make, 3, 0, on, wired=True)


FAULTS: tuple[Entry, ...] = (
    Entry("kill copy", lambda _: processes.Kill(("copy",)), 6, is_short=True),
    Entry("kill source", lambda _: processes.Kill(("source",)), 5, is_short=True),
    Entry("kill both", lambda _: processes.Kill(("source", "copy")), 3, 2, is_short=True),
    Entry("kill copy at places", _importer, 4, 6, is_short=True),
    Entry("kill source at places", _exporter, 3, 5, is_short=True),
    Entry("freeze copy", lambda _: processes.Freeze(("copy",)), 1, 0, is_short=True),
    Entry("freeze source", lambda _: processes.Freeze(("source",)), 1, 0, is_short=True),
    Entry("freeze both", lambda _: processes.Freeze(("source", "copy")), 1, 0),
    Entry("freeze at a place", _freeze_at, 2, 1),
    Entry("restart copy", lambda _: processes.StopAndStart(("copy",)), 1, 0, is_short=True),
    Entry("restart source", lambda _: processes.StopAndStart(("source",)), 1, 0, is_short=True),
    Entry("kill copy's broker", lambda _: processes.KillBroker(("copy",)), 2, on=frozenset({KAFKA}), is_short=True),
    Entry("kill source's broker", lambda _: processes.KillBroker(("source",)), 2, on=frozenset({KAFKA}), is_short=True),
    Entry("kill copy's site", lambda _: processes.KillBroker(("copy",), True), 1, 2, on=frozenset({KAFKA})),
    Entry("kill source's site", lambda _: processes.KillBroker(("source",), True), 1, 2, on=frozenset({KAFKA})),
    Entry("full disk", lambda _: machine_disk.FileLimit(), 1, 0, frozenset({EMBEDDED})),
    Entry(
        "small disk",
        lambda _: machine_disk.SmallDisk(),
        1,
        0,
        frozenset({EMBEDDED}),
        hindrance=machine_disk.cannot_mount,
    ),
    Entry("damaged log", lambda _: machine_damage.DamagedLog(), 1, 1, frozenset({EMBEDDED})),
    Entry("older log", lambda _: machine_damage.OlderLog(), 1, 1, frozenset({EMBEDDED})),
    Entry("older state of copy", lambda _: machine_damage.OlderState("copy"), 1, 1),
    Entry("older state of source", lambda _: machine_damage.OlderState("source"), 1, 1),
    Entry(
        "zombie",
        lambda stage: machine_zombie.Zombie(stage.chance.choice(machine_zombie.PLACES)),
        2,
        0,
        frozenset({KAFKA}),
    ),
    Entry("wrong clock of copy", lambda _: machine_clock.WrongClock("copy"), 1, 0),
    Entry("wrong clock of source", lambda _: machine_clock.WrongClock("source"), 1, 0),
    _wired("partition", lambda stage: _partition(stage, outlives=False)),
    _wired("partition that outlives the link", lambda stage: _partition(stage, outlives=True)),
    _wired("flapping link", lambda _: wire_partition.Flap()),
    _wired("half-open link", lambda stage: wire_partition.HalfOpen(_toward(stage))),
    _wired("latency and jitter", lambda _: wire_speed.Latency()),
    _wired("1 MB/s", lambda _: wire_speed.Narrow()),
    _wired("reset mid-frame", lambda _: wire_ends.Resets()),
    _wired("reset at each byte", lambda _: wire_ends.CutSweep()),
    _wired("bytes damaged", _damaged),
    _wired("bytes lost", lambda stage: wire_damage.Lost(toward=_toward(stage))),
    _wired("slow broker", lambda _: wire_speed.SlowBroker(0.5, overdue=False), frozenset({KAFKA})),
    _wired("slow broker, overdue", lambda _: wire_speed.SlowBroker(), frozenset({KAFKA})),
    _wired("partition from the broker", lambda _: wire_speed.BrokerUnreachable(), frozenset({KAFKA})),
    _wired("reset mid-append", lambda _: wire_ends.BrokerResets(), frozenset({KAFKA})),
)
BY_NAME = {each.name: each for each in FAULTS}


def possible(kind: str) -> list[Entry]:
    """Those that can strike in runs of this kind, on this machine."""
    return [each for each in FAULTS if kind in each.on and not each.hindrance()]
