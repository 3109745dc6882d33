"""What runs of one subscription, and what an operator sees of its lanes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from gateway.importer.elsewhere import placed
from gateway.importer.following import Followed
from gateway.importer.lane import LaneRunner
from gateway.stored_lanes import with_checkpoint
from mesh.errors import MeshError
from mesh.ids import LaneId
from mesh.lanes.checkpoint import Checkpoint
from mesh.lanes.status import LaneState, LaneStatus
from mesh.ports import Ownership
from mesh.shares import Subscription, SubscriptionState


@dataclass(slots=True)
class Running:
    """A subscription whose lanes run: the value they were started from, and their tasks."""

    subscription: Subscription
    task: asyncio.Task[None] | None = None
    followed: Followed | None = None
    """What the provider offers of it."""
    offered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when that has become something else."""
    following: asyncio.Task[None] | None = None
    known: list[LaneId] = field(default_factory=list)
    """Every lane of it, whoever runs it."""
    lanes: dict[LaneId, LaneRunner] = field(default_factory=dict)
    """Those that run here, or have stopped for good."""
    tasks: dict[LaneId, asyncio.Task[None]] = field(default_factory=dict)
    terms: dict[LaneId, int] = field(default_factory=dict)
    """Of those that run here: the stretch of owning in which each was started."""
    stored: dict[LaneId, Checkpoint] = field(default_factory=dict)
    """Where its lanes stood before."""
    waiting: MeshError | None = None
    """Why its lanes are not known yet."""
    is_held: bool = False
    """Its peer is not active: nothing runs, and nothing is forgotten."""


def statuses_of(running: Running, ownership: Ownership) -> list[LaneStatus]:
    subscription = running.subscription
    if subscription.state.is_final:
        return []
    here = [runner.status() for runner in running.lanes.values()]
    expected = running.known if running.followed is not None else _expected(running)
    others = [_waiting(running, lane) for lane in expected if lane not in running.lanes]
    known = {status.lane for status in (*here, *others)}
    told = running.followed.statuses(subscription, running.stored) if running.followed is not None else ()
    held = [status for status in told if status.lane not in known]
    statuses = sorted([*here, *others, *held], key=lambda status: status.lane)
    if subscription.state is SubscriptionState.ACTIVE and not running.is_held:
        statuses = [placed(status, ownership) for status in statuses]
    statuses = [with_checkpoint(status, running.stored) for status in statuses]
    if subscription.state is SubscriptionState.PAUSED:
        remedy = f"mesh subscription resume {subscription.name}"
        return [replace(status, state=LaneState.PAUSED, reason="paused", remedy=remedy) for status in statuses]
    return statuses


def _expected(running: Running) -> list[LaneId]:
    """The lanes as far as they are known without the provider: those of before, at least one for each topic."""
    begun = {lane.topic for lane in running.stored}
    new = [LaneId(running.subscription.name, mapping.source_topic, 0) for mapping in running.subscription.topics]
    return [*running.stored, *(lane for lane in new if lane.topic not in begun)]


def _waiting(running: Running, lane: LaneId) -> LaneStatus:
    subscription, waiting = running.subscription, running.waiting
    return LaneStatus(
        lane,
        subscription.peer,
        subscription.destination_of(lane.topic) or "",
        LaneState.WAITING,
        code=waiting.code if waiting else "",
        reason=str(waiting) if waiting else "waiting for a link to the provider",
        remedy=waiting.remedy if waiting else f"try: mesh peer doctor {subscription.peer}",
    )
