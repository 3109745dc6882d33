"""Named places at which a gateway process can be told to die or to freeze, so that a test strikes where it aims.

`MESH_FAILPOINTS` in the environment of `mesh gateway run` says where: `importer.appended=kill@3,exporter.fetch=freeze`
kills the process (SIGKILL) the third time that it gets there, and freezes it (SIGSTOP) the first time that it gets to
the other place. `MESH_FAILPOINTS_LOG` names a file: a JSON line is appended before each strike, so that whoever aimed
knows that it struck. Without the variable a place costs one look at an empty dictionary; there is no other way to arm
one, and an armed gateway says so in its log.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import structlog

from mesh.errors import OperatorError

log = structlog.get_logger()

PLAN, LOG = "MESH_FAILPOINTS", "MESH_FAILPOINTS_LOG"


class Place(StrEnum):
    """In the order in which a record comes by."""

    FETCH = "exporter.fetch"
    FETCHED = "exporter.fetched"
    SEND = "exporter.send"
    SENT = "exporter.sent"
    RECEIVED = "importer.received"
    APPEND = "importer.append"
    """An append is about to be handed to the log."""
    APPENDING = "importer.appending"
    """It was handed over, its answer is not here."""
    APPENDED = "importer.appended"
    """It was answered, and nobody was told."""
    STORE = "importer.store"
    """State is about to be stored by a put of its own."""
    STORED = "importer.stored"
    ACKNOWLEDGE = "importer.acknowledge"
    ACKNOWLEDGED = "importer.acknowledged"
    RESUME = "importer.resume"
    """The log is about to be asked where a lane goes on."""
    RESUMED = "importer.resumed"
    EMBEDDED_COMMIT = "embedded.commit"
    """The embedded log is about to commit a transaction."""
    EMBEDDED_COMMITTED = "embedded.committed"
    CONTROL = "control.change"
    """A change of peers, shares, grants or subscriptions is about to be stored."""
    CONTROL_STORED = "control.changed"
    GROUP_COMMIT = "groups.commit"
    GROUP_COMMITTED = "groups.committed"


class Deed(StrEnum):
    KILL = "kill"
    FREEZE = "freeze"


SIGNALS = {Deed.KILL: signal.SIGKILL, Deed.FREEZE: signal.SIGSTOP}


@dataclass(eq=False)
class FailpointsUnreadable(OperatorError):
    given: str
    code: ClassVar[str] = "failpoints-unreadable"
    sentence: ClassVar[str] = "MESH_FAILPOINTS has {given!r}, which names no place, deed or number"
    hint: ClassVar[str] = (
        "unset it where no test wants this gateway dead; otherwise give PLACE=kill@N or PLACE=freeze@N"
    )


@dataclass(slots=True)
class _Strike:
    deed: Deed
    passes: int
    """How often the place must still be reached."""


_armed: dict[Place, _Strike] = {}
_log_path: list[Path] = []


def reach(place: Place) -> None:
    """The process is at `place`; does nothing unless that was asked for."""
    if _armed:
        _reach(place)


def arm(environ: Mapping[str, str]) -> None:
    """As the environment says. Raises FailpointsUnreadable."""
    _armed.clear()
    _armed.update(_parsed(environ.get(PLAN, "")))
    _log_path[:] = [Path(environ[LOG])] if environ.get(LOG) else []
    if _armed:
        log.warning("this gateway will be struck at failpoints", places=[str(place) for place in _armed])


def _parsed(text: str) -> dict[Place, _Strike]:
    plan = {}
    for given in filter(None, (part.strip() for part in text.split(","))):
        name, _, what = given.partition("=")
        deed, _, passes = what.partition("@")
        try:
            plan[Place(name)] = _Strike(Deed(deed), int(passes or 1))
        except ValueError:
            raise FailpointsUnreadable(given) from None
        if plan[Place(name)].passes < 1:
            raise FailpointsUnreadable(given)
    return plan


def _reach(place: Place) -> None:
    strike = _armed.get(place)
    if strike is None:
        return
    strike.passes -= 1
    if strike.passes:
        return
    del _armed[place]
    for path in _log_path:
        _note(path, place, strike.deed)
    os.kill(os.getpid(), SIGNALS[strike.deed])


def _note(path: Path, place: Place, deed: Deed) -> None:
    line = json.dumps({"place": place, "deed": deed, "pid": os.getpid(), "at_s": time.monotonic()})
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
