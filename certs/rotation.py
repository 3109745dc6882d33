"""When certificates change: the steps of a CA rotation, the moment of a leaf's renewal, and warnings. Values only.

Strategy: a rotation is a value; `next_step` looks at it, at what each active peer has acknowledged, and at the time,
and says what comes next and who holds it up. Whoever carries a step out makes it durable and asks again, so a
gateway that dies at any moment goes on where it was.

    PREPARED   the new root exists, nobody knows it
    PUBLISHED  the bundle holds both roots; peers store and acknowledge it
    ADOPTED    every active peer has acknowledged; each is asked whether it would accept a leaf of the new root
    SWITCHED   the new root issues
    RETIRED    the old root has left the bundle

A. Issuing does not switch before each active peer has acknowledged both roots and has accepted a probe, except for
   peers that an operator left behind by name after the deadline.
B. The old root stays in the bundle until its last leaf has expired.
C. An emergency publishes without the old root, for a stolen key must not vouch for anybody: peers that have
   acknowledged refuse the old leaves from then on, so nothing is rehearsed, and the deadline leaves those that lag
   behind by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from certs.errors import NotLagging, RotationTooEarly
from mesh.ids import OrgId

DEADLINE = timedelta(days=7)
"""Long enough that a partner's operator is back from a holiday weekend."""
EMERGENCY_DEADLINE = timedelta(minutes=1)
RENEWAL_AT = 0.5
RENEWAL_JITTER = 0.1
"""Of the lifetime, in all: gateways that were made together do not renew together."""
WARNING_DAYS = (30, 14, 7, 1)


class Phase(StrEnum):
    PREPARED = "prepared"
    PUBLISHED = "published"
    ADOPTED = "adopted"
    SWITCHED = "switched"
    RETIRED = "retired"


class Action(StrEnum):
    PUBLISH = "publish"
    WAIT = "wait"
    LEAVE = "leave"
    """Go on without the peers that lag: an emergency's deadline has passed."""
    ADOPT = "adopt"
    REHEARSE = "rehearse"
    SWITCH = "switch"
    RETIRE = "retire"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Rotation:
    old: int
    """Generations of the authority."""
    new: int
    started: datetime
    deadline: datetime
    phase: Phase = Phase.PREPARED
    sequence: int = 0
    """Of the bundle that brought the new root; 0 before it was published."""
    emergency: bool = False
    left: frozenset[OrgId] = frozenset()
    """Peers that it goes on without: each has to be pinned anew."""
    old_end: datetime | None = None
    """When the last leaf of the old root has expired; known from SWITCHED on."""


@dataclass(frozen=True, slots=True)
class PeerProgress:
    acknowledged: int = 0
    """The sequence of our bundle that the peer holds durably."""
    accepts: bool | None = None
    """Whether it would accept a leaf of the new root; None: not asked yet."""


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    why: str
    lagging: tuple[OrgId, ...] = ()
    due: datetime | None = None
    """When it goes on at the latest, or when an operator may leave the lagging peers behind."""


def plan(old: int, new: int, now: datetime, deadline: timedelta | None = None, *, emergency: bool = False) -> Rotation:
    """A rotation that begins now."""
    allowed = deadline if deadline is not None else EMERGENCY_DEADLINE if emergency else DEADLINE
    return Rotation(old, new, now, now + allowed, emergency=emergency)


def next_step(rotation: Rotation, peers: Mapping[OrgId, PeerProgress], now: datetime) -> Decision:
    """What to do now. `peers` are the active ones."""
    match rotation.phase:
        case Phase.PREPARED:
            return Decision(Action.PUBLISH, "the new root is ready")
        case Phase.PUBLISHED | Phase.ADOPTED:
            return _towards_switch(rotation, peers, now)
        case Phase.SWITCHED:
            return _towards_retirement(rotation, now)
        case Phase.RETIRED:
            return Decision(Action.DONE, "the rotation is complete")


def _towards_switch(rotation: Rotation, peers: Mapping[OrgId, PeerProgress], now: datetime) -> Decision:
    behind = lagging(rotation, peers)
    if rotation.emergency and behind and now >= rotation.deadline:
        return Decision(Action.LEAVE, "the deadline of the emergency has passed", behind)
    silent = tuple(org for org in behind if peers[org].acknowledged < rotation.sequence)
    if silent:
        return _waiting(rotation, silent, "have not acknowledged the new root", now)
    if rotation.phase is Phase.PUBLISHED:
        return Decision(Action.ADOPT, "every active peer has acknowledged the new root")
    if behind:
        return Decision(Action.REHEARSE, "peers are asked to verify a leaf of the new root", behind, rotation.deadline)
    return Decision(Action.SWITCH, "every active peer accepts a leaf of the new root")


def _waiting(rotation: Rotation, behind: tuple[OrgId, ...], what: str, now: datetime) -> Decision:
    if now < rotation.deadline:
        return Decision(Action.WAIT, f"active peers {what}", behind, rotation.deadline)
    return Decision(Action.WAIT, f"the deadline has passed and active peers {what}: leave them by name", behind)


def _towards_retirement(rotation: Rotation, now: datetime) -> Decision:
    if rotation.emergency or rotation.old_end is None or now >= rotation.old_end:
        return Decision(Action.RETIRE, "no leaf of the old root is valid any more")
    return Decision(Action.WAIT, "leaves of the old root may still be in use", (), rotation.old_end)


def lagging(rotation: Rotation, peers: Mapping[OrgId, PeerProgress]) -> tuple[OrgId, ...]:
    """The active peers without which issuing does not switch."""
    return tuple(
        org
        for org, peer in sorted(peers.items())
        if org not in rotation.left
        and not (peer.acknowledged >= rotation.sequence and (peer.accepts or rotation.emergency))
    )


def leave(rotation: Rotation, orgs: Iterable[OrgId], peers: Mapping[OrgId, PeerProgress], now: datetime) -> Rotation:
    """Go on without `orgs`. Raises RotationTooEarly, NotLagging."""
    named = frozenset(orgs)
    behind = lagging(rotation, peers) if rotation.phase in {Phase.PUBLISHED, Phase.ADOPTED} else ()
    for org in sorted(named):
        if org not in behind:
            raise NotLagging(org)
    if now < rotation.deadline and not rotation.emergency:
        raise RotationTooEarly(rotation.deadline.isoformat(timespec="seconds"))
    return replace(rotation, left=rotation.left | named)


def published(rotation: Rotation, sequence: int) -> Rotation:
    assert rotation.phase is Phase.PREPARED
    return replace(rotation, phase=Phase.PUBLISHED, sequence=sequence)


def adopted(rotation: Rotation) -> Rotation:
    assert rotation.phase is Phase.PUBLISHED
    return replace(rotation, phase=Phase.ADOPTED)


def switched(rotation: Rotation, old_end: datetime) -> Rotation:
    assert rotation.phase is Phase.ADOPTED
    return replace(rotation, phase=Phase.SWITCHED, old_end=old_end)


def retired(rotation: Rotation) -> Rotation:
    assert rotation.phase is Phase.SWITCHED
    return replace(rotation, phase=Phase.RETIRED)


# --- leaves


def renew_at(begin: datetime, end: datetime, unit: float) -> datetime:
    """When a leaf of these dates is replaced: about half-way. `unit` in [0, 1) is drawn once for each leaf."""
    return begin + (end - begin) * (RENEWAL_AT + RENEWAL_JITTER * (unit - 0.5))


def warning_days(begin: datetime, end: datetime, now: datetime) -> int | None:
    """The least of 30, 14, 7 and 1 days within which it ends, 0 where it has ended, None where all is well.

    A certificate that never lived twice as long as a warning reaches is renewed later than that: no warning then.
    """
    if now >= end:
        return 0
    levels = [days for days in WARNING_DAYS if timedelta(days=2 * days) <= end - begin]
    return min((days for days in levels if end - now <= timedelta(days=days)), default=None)
