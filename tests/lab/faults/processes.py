"""Faults of processes: killed at a random moment or at a named place, frozen, stopped and started, brokers as well.

A random kill counts only where records came in just before it (the run sees to it that they do afterwards). A kill at a
named place counts only where the gateway itself noted that it struck (`MESH_FAILPOINTS_LOG`).
"""

from __future__ import annotations

import json
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.failpoints import LOG, PLAN, Place
from tests.lab.admin import NoAnswer, call
from tests.lab.stage import Site, Stage
from tests.support.organization import READY_S

EXPORTER = (Place.FETCH, Place.FETCHED, Place.SEND, Place.SENT)
IMPORTER = (
    Place.RECEIVED, Place.APPEND, Place.APPENDING, Place.APPENDED, Place.ACKNOWLEDGE, Place.ACKNOWLEDGED,
    Place.RESUME, Place.RESUMED,
)  # fmt: skip
STORING = (Place.STORE, Place.STORED)
"""Reached where a state is put by itself: at gaps, which transactions leave."""
MOVING = (Place.GROUP_COMMIT, Place.GROUP_COMMITTED)
COMMITTING = (Place.EMBEDDED_COMMIT, Place.EMBEDDED_COMMITTED)
CONTROL = (Place.CONTROL, Place.CONTROL_STORED)
REACHED_S = 15.0
"""A place that a ready gateway does not reach so soon is not on the way: it is killed without it."""
MOST_PASSES = 12
CHANGES = 20
LOOK_S = 0.01
MOMENT_S = 0.3


def under_way(stage: Stage) -> None:
    """Returns at a random moment right after records came in."""
    stage.wait_progress()
    time.sleep(stage.chance.random() * MOMENT_S)


@dataclass
class Kill:
    """SIGKILL to some gateways at once; `victims` are names: source, copy."""

    victims: tuple[str, ...]
    row: str = "kill -9 at random moments"

    @property
    def aims(self) -> tuple[str, ...]:
        return (f"killed with records under way: {' and '.join(self.victims)}",)

    def strike(self, stage: Stage) -> None:
        under_way(stage)
        stage.kill(*(named(stage, each) for each in self.victims))

    def heal(self, stage: Stage) -> None:
        stage.recover()
        stage.counters.sometimes(self.aims[0])


@dataclass
class KillAtPlaces:
    """One kill at each of `places`, one after the other: each start is armed for the next of them."""

    victim: str
    places: Sequence[Place]
    most_passes: int = MOST_PASSES
    row: str = "kill -9 at named places"

    @property
    def aims(self) -> tuple[str, ...]:
        return tuple(place_aim(self.victim, "killed", each) for each in self.places)

    def strike(self, stage: Stage) -> None:
        site = named(stage, self.victim)
        under_way(stage)
        stage.kill(site)
        for place in self.places:
            # What is passed once in a start is struck the first time.
            is_rare = place in (Place.RESUME, Place.RESUMED, *MOVING, *CONTROL)
            passes = 1 if is_rare else 1 + stage.chance.randrange(self.most_passes)
            self._one(stage, site, place, passes)

    def _one(self, stage: Stage, site: Site, place: Place, passes: int) -> None:
        struck = Struck(stage.scratch / "struck.jsonl")
        site.organization.launch(environment=struck.environment(place, "kill", passes))
        others = [each for each in stage.sites if each is not site]
        for other in others:
            other.bring_up()
        act = changing(site) if place in CONTROL else None
        if not _died(stage, site, act):
            stage.kill(site)
            return
        code = site.organization.wait_struck()
        assert code == -signal.SIGKILL, f"{site.name}'s gateway ended by itself:\n{site.organization.log[-2000:]}"
        stage.killed(site)
        if struck.reached(place):
            stage.counters.sometimes(place_aim(self.victim, "killed", place))

    def heal(self, stage: Stage) -> None:
        stage.recover()


def place_aim(victim: str, what: str, place: Place) -> str:
    return f"{what} at {place} ({victim})"


REQUIRED = frozenset(
    [place_aim("copy", "killed", each) for each in (*IMPORTER, *STORING, *MOVING, *COMMITTING, *CONTROL)]
    + [place_aim("source", "killed", each) for each in (*EXPORTER, *COMMITTING, *CONTROL)]
)
"""What a large campaign must have met."""


def _died(stage: Stage, site: Site, act: Callable[[], None] | None) -> bool:
    """Whether the gateway dies by itself in time. Meanwhile: how soon the next record comes after the kill before."""
    process = site.organization.process
    assert process is not None
    assert process.stdout is not None
    deadline = time.monotonic() + READY_S
    is_ready = False
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return True
        if not is_ready and select.select([process.stdout], [], [], LOOK_S)[0]:
            if not process.stdout.readline():
                continue  # it dies just now
            is_ready, deadline = True, time.monotonic() + REACHED_S
            if act is not None:
                threading.Thread(target=act, daemon=True).start()
            _note_arrival(stage, lambda: process.poll() is None, deadline)
        time.sleep(LOOK_S)
    return False


def _note_arrival(stage: Stage, lives: Callable[[], bool], deadline: float) -> None:
    def arrival(timeout_s: float) -> None:
        began = stage.try_progress()
        while lives() and time.monotonic() < deadline:
            found = stage.try_progress()
            if began is None:
                began = found
            elif found is not None and found > began:
                return
            time.sleep(LOOK_S)
        raise TimeoutError("it died before a record came in")

    with suppress(TimeoutError):
        stage.note_recovery(arrival)


@dataclass
class Struck:
    """What a gateway notes when a failpoint strikes it."""

    path: Path

    def environment(self, place: Place, deed: str, passes: int) -> dict[str, str]:
        self.path.unlink(missing_ok=True)
        return {PLAN: f"{place}={deed}@{passes}", LOG: str(self.path)}

    def reached(self, place: Place) -> bool:
        if not self.path.exists():
            return False
        return any(json.loads(line)["place"] == place for line in self.path.read_text().splitlines())

    def comes(self, place: Place, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while not self.reached(place) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return self.reached(place)


def changing(site: Site) -> Callable[[], None]:
    """Makes the gateway store a change: a share that nobody is granted, there or not there when it is struck.

    Again and again until it dies or has stored one: its cluster may not have answered yet.
    """
    process = site.organization.process
    assert process is not None

    def change() -> None:
        for _ in range(CHANGES):
            if process.poll() is not None:
                return
            body = {"name": f"nobody-{time.monotonic_ns()}", "topics": ["unheard-of.*"]}
            with suppress(NoAnswer):
                call(site.organization, "POST", "/v1/shares", body, timeout_s=5)
                return
            time.sleep(LOOK_S)

    return change


@dataclass
class Freeze:
    """SIGSTOP at a random moment, SIGCONT a while later: the process knows nothing of the time between."""

    victims: tuple[str, ...]
    longest_s: float = 3.0
    row: str = "SIGSTOP and SIGCONT"

    @property
    def aims(self) -> tuple[str, ...]:
        return (f"frozen with records under way: {' and '.join(self.victims)}",)

    def strike(self, stage: Stage) -> None:
        under_way(stage)
        for each in self.victims:
            named(stage, each).organization.freeze()
        time.sleep(stage.chance.uniform(0.2, self.longest_s))

    def heal(self, stage: Stage) -> None:
        for each in self.victims:
            named(stage, each).organization.thaw()
        stage.recover()
        stage.counters.sometimes(self.aims[0])


@dataclass
class FreezeAtPlace:
    """Frozen at a named place for a while, then let go on from there."""

    victim: str
    place: Place
    longest_s: float = 3.0
    row: str = "SIGSTOP and SIGCONT"

    @property
    def aims(self) -> tuple[str, ...]:
        return (place_aim(self.victim, "frozen", self.place),)

    def strike(self, stage: Stage) -> None:
        site = named(stage, self.victim)
        under_way(stage)
        stage.kill(site)
        struck = Struck(stage.scratch / "struck.jsonl")
        passes = 1 + stage.chance.randrange(MOST_PASSES)
        site.organization.launch(environment=struck.environment(self.place, "freeze", passes))
        if not struck.comes(self.place, 2 * REACHED_S):
            stage.kill(site)  # else it would freeze later, when nobody thaws it
            return
        time.sleep(stage.chance.uniform(0.2, self.longest_s))
        stage.counters.sometimes(self.aims[0])

    def heal(self, stage: Stage) -> None:
        site = named(stage, self.victim)
        if site.organization.process is not None:
            site.organization.thaw()
            site.organization.wait_ready()
        stage.recover()


@dataclass
class StopAndStart:
    """SIGTERM, as an operator restarts a gateway: it must end well, and in time."""

    victims: tuple[str, ...]
    row: str = "clean stop and restart"

    @property
    def aims(self) -> tuple[str, ...]:
        return (f"stopped with records under way: {' and '.join(self.victims)}",)

    def strike(self, stage: Stage) -> None:
        under_way(stage)
        for each in self.victims:
            code = named(stage, each).organization.stop()
            assert code == 0, f"the gateway of {each} ended with exit code {code}"

    def heal(self, stage: Stage) -> None:
        stage.recover()
        stage.counters.sometimes(self.aims[0])


@dataclass
class KillBroker:
    """A Kafka broker dies, maybe with the gateway beside it, and comes back."""

    victims: tuple[str, ...]
    with_gateway: bool = False
    longest_s: float = 1.0
    row: str = "broker restart"

    @property
    def aims(self) -> tuple[str, ...]:
        beside = " and its gateway" if self.with_gateway else ""
        return (f"broker{beside} killed with records under way: {' and '.join(self.victims)}",)

    def strike(self, stage: Stage) -> None:
        under_way(stage)
        sites = [named(stage, each) for each in self.victims]
        stage.kill_broker(*sites)
        if self.with_gateway:
            stage.kill(*sites)
        time.sleep(stage.chance.random() * self.longest_s)

    def heal(self, stage: Stage) -> None:
        stage.recover()
        stage.counters.sometimes(self.aims[0])


def named(stage: Stage, name: str) -> Site:
    return stage.source if name == "source" else stage.copy
