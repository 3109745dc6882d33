"""What the faults of the wire have in common: the wires of a stage, and whether a fault has met what it aims at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab.admin import NoAnswer, status
from tests.lab.stage import Stage
from tests.lab.wire.between import Between
from tests.lab.wire.proxy import Proxy
from tests.lab.wire.weather import Counters
from tests.support.organization import Organization, wait_for

MET_S = 45.0
"""So long a fault waits for what it aims at; where that does not come it goes on, and the counter stays as it is."""
STALL_S = 1.0


def link_of(stage: Stage) -> Between:
    assert stage.link is not None, "this fault needs a run with a proxy between its gateways"
    return stage.link


def wire_of_copy(stage: Stage) -> Proxy:
    assert stage.copy.wire is not None, "this fault needs a run with a proxy before the copy's broker"
    return stage.copy.wire


def links(organization: Organization) -> int | None:
    """How many links its gateway has open; None where it does not answer."""
    try:
        return len(status(organization)["links"])
    except NoAnswer:
        return None


def met(what: str, ask: Callable[[], object], timeout_s: float = MET_S) -> bool:
    """Whether it came in time."""
    try:
        wait_for(what, ask, timeout_s)
    except AssertionError:
        return False
    return True


def stands_still(stage: Stage) -> bool:
    """Writers go on all the while, so nothing new in this time is a stall."""
    held = stage.try_progress()
    return held is not None and not met("a record", lambda: stage.try_progress() != held, STALL_S)


@dataclass(slots=True)
class Watched:
    """The counters of the wires between the gateways since `begin`."""

    before: Counters = field(default_factory=Counters)

    def begin(self, stage: Stage) -> None:
        self.before = link_of(stage).counters()

    def grown(self, stage: Stage, name: str) -> int:
        """Of a counter, both directions of it together."""
        return _total(link_of(stage).counters(), name) - _total(self.before, name)


def _total(counters: Counters, name: str) -> int:
    found = getattr(counters, name)
    return sum(found.values()) if isinstance(found, dict) else int(found)
