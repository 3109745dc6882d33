"""Keeping chosen groups in step: where the provider's groups stand, written to those of the same name here.

Strategy: every few seconds each active subscription that names groups asks its provider once, translates what
concerns the lanes that run here, and moves forward what can be moved. It is a standby: if the provider is lost, its
consumers go on here from where they stood at the last turn.

A. Only the owner of a lane writes its positions: it alone knows the map up to now.
B. A group that has members here is left alone, and no position ever goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from gateway.groups.moving import LATER, NEVER, NOT_BEGUN, WHY, Lane, MovedPosition, lanes_of, translated
from gateway.groups.writer import GroupWriter
from gateway.peers.errors import PeerRefusedRequest
from gateway.registry import Registry
from gateway.services import Lanes, Links
from mesh.errors import MeshError, NetworkError
from mesh.groups import GroupState, PeerGroup, is_pattern, is_wanted
from mesh.ids import GroupName, LaneId, Partition, SubscriptionName
from mesh.lanes.status import LaneState
from mesh.offsets.positions import PositionKind
from mesh.ports import Cluster
from mesh.shares import Subscription, SubscriptionState

log = structlog.get_logger()

REFUSED_TURNS = 12
"""A provider that refuses is asked in every twelfth turn only: each refusal stands in its metrics and its audit log."""


class SyncState(StrEnum):
    IN_STEP = "in-step"
    WAITING = "waiting"
    """Positions lie beyond what is mirrored: they follow with the records."""
    BLOCKED = "blocked"
    """The group has members here."""
    AHEAD = "ahead"
    """The group has read further here than at the source."""
    UNANSWERED = "unanswered"
    """Positions that have no copy: before what is mirrored, or of another incarnation."""
    ABSENT = "absent"
    """The provider has no such group, or it has no position on the topics."""
    NOT_GRANTED = "not-granted"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """One group of one subscription, as of the last turn."""

    subscription: SubscriptionName
    group: str
    """A name; where nothing is known of the groups, the word that stands for them."""
    state: SyncState
    reason: str = ""
    partitions: int = 0
    """On which it has a position."""
    waiting: int = 0
    """Of these, those that are not mirrored yet."""
    source_has_members: bool = False
    as_of_ms: int = 0


class GroupSync:
    """`run` belongs into the gateway's task group; `turn` does one round, for tests."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        links: Links,
        lanes: Lanes,
        *,
        period_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        self.writer = GroupWriter(cluster)
        self._cluster = cluster
        self._registry = registry
        self._links = links
        self._lanes = lanes
        self.period_s = period_s
        self._now_ms = now_ms
        self._found: dict[SubscriptionName, list[SyncStatus]] = {}
        self._passed_over: dict[SubscriptionName, int] = {}

    def statuses(self) -> list[SyncStatus]:
        return [status for name in sorted(self._found) for status in self._found[name]]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.turn()
            await asyncio.sleep(self.period_s)

    async def turn(self) -> None:
        wanted = {each.name: each for each in self._registry.subscriptions.values() if _is_synced(each)}
        for name in self._found.keys() - wanted.keys():
            del self._found[name]
        for subscription in wanted.values():
            if self._passed_over.get(subscription.name, 0):
                self._passed_over[subscription.name] -= 1
            else:
                self._found[subscription.name] = await self._synced(subscription)

    async def _synced(self, subscription: Subscription) -> list[SyncStatus]:
        try:
            groups = await self._asked(subscription)
            lanes = await self._own_lanes(subscription)
            return [
                *[await self._moved(subscription, group, lanes) for group in groups],
                *_absent(subscription, groups, self._now_ms()),
            ]
        except MeshError as error:
            refused = isinstance(error, PeerRefusedRequest) and error.refusal == "not-available"
            if refused:
                self._passed_over[subscription.name] = REFUSED_TURNS - 1
            state = SyncState.NOT_GRANTED if refused else _failed(error)
            return [SyncStatus(subscription.name, word, state, str(error)) for word in subscription.groups]
        except Exception as error:  # a mistake of ours for one subscription must not end the others
            log.exception("groups not kept in step", subscription=str(subscription.name))
            why = type(error).__name__
            return [SyncStatus(subscription.name, word, SyncState.FAILED, why) for word in subscription.groups]

    async def _asked(self, subscription: Subscription) -> list[PeerGroup]:
        """The groups that the subscription means, by name; none where its patterns have found no topic yet."""
        topics = [mapping.source_topic for mapping in subscription.topics]
        if not topics:
            return []
        words = subscription.groups
        is_open = any(map(is_pattern, words))
        names = [None] if is_open else [GroupName(word) for word in words]
        found: list[PeerGroup] = []
        for name in names:
            found += await self._links.group_positions(
                subscription.peer, subscription.share, name, topics, with_ends=False
            )
        return sorted((each for each in found if is_wanted(each.name, words)), key=lambda each: each.name)

    async def _own_lanes(self, subscription: Subscription) -> dict[LaneId, Lane]:
        """The lanes that run here (A)."""
        running = {
            status.lane
            for status in self._lanes.statuses()
            if status.state in (LaneState.RUNNING, LaneState.CATCHING_UP)
        }
        owns = self._cluster.ownership.owns
        return await lanes_of(self._cluster, self._lanes, subscription, lambda lane: lane in running and owns(lane))

    async def _moved(self, subscription: Subscription, group: PeerGroup, lanes: dict[LaneId, Lane]) -> SyncStatus:
        """One group, as far as our lanes go."""
        stands = [each for each in translated(subscription, group, lanes) if each.answer != NEVER]
        moved = [each for each in stands if each.lane in lanes or self._cluster.ownership.owns(each.lane)]
        wanted = {each.destination: at for each in moved if (at := each.destination_position) is not None}
        state, reason = SyncState.IN_STEP, ""
        try:
            here = await self.writer.advance(group.name, wanted)
        except MeshError as error:
            state, reason = _failed(error), str(error)
        else:
            if here.state is GroupState.ACTIVE:
                state, reason = SyncState.BLOCKED, "it has members here"
            else:
                state, reason = _judged(moved, here.positions)
        waiting = sum(each.answer in LATER for each in moved)
        return SyncStatus(
            subscription.name, group.name, state, reason, len(moved), waiting, group.has_members, self._now_ms()
        )


def _judged(moved: Sequence[MovedPosition], present: Mapping[Partition, int]) -> tuple[SyncState, str]:
    """The state of a group that is empty here, the one that asks most of a person first."""
    for each in moved:
        if each.answer in WHY and each.answer not in LATER:
            return SyncState.UNANSWERED, f"{each.lane.topic}[{each.lane.partition}]: {WHY[each.answer]}"
    for each in moved:
        at, to = present.get(each.destination), each.destination_position
        if to is not None and at != to:
            is_ahead = at is not None and at > to
            why = f"it stands at {at}, the source at {to}" if is_ahead else f"{to} lies outside of the log"
            return SyncState.AHEAD if is_ahead else SyncState.UNANSWERED, f"{each.destination}: {why}"
    if any(each.answer == NOT_BEGUN for each in moved):
        return SyncState.WAITING, "for lanes that do not run"
    if any(each.answer == PositionKind.BEYOND for each in moved):
        return SyncState.WAITING, "for records that are not mirrored yet"
    return SyncState.IN_STEP, ""


def _is_synced(subscription: Subscription) -> bool:
    return bool(subscription.groups) and subscription.state is SubscriptionState.ACTIVE


def _absent(subscription: Subscription, groups: list[PeerGroup], now_ms: int) -> list[SyncStatus]:
    """The names and patterns for which the provider has nothing."""
    missing = [word for word in subscription.groups if not any(is_wanted(each.name, [word]) for each in groups)]
    why = "the provider has no position of such a group on these topics"
    return [SyncStatus(subscription.name, word, SyncState.ABSENT, why, as_of_ms=now_ms) for word in missing]


def _failed(error: MeshError) -> SyncState:
    return SyncState.UNREACHABLE if isinstance(error, NetworkError) else SyncState.FAILED
