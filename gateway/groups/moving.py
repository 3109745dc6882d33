"""Moving a group between a source and its copy: where it stands on one side, and where that is on the other.

Strategy: positions are asked where the group reads now, translated lane by lane, and compared with what the group has
on the side to which it moves; then either shown, or written all at once. A position without an answer keeps all of
them from being written: the group would lose or repeat records on that partition without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from gateway.groups.errors import GroupAbsent, PositionsUnanswered
from gateway.groups.writer import GroupWriter
from gateway.ranges import ranges_of
from gateway.services import Lanes, Services
from gateway.stored_lanes import stored_checkpoints
from mesh.errors import MeshError
from mesh.groups import GroupState, PeerGroup, TopicPositions
from mesh.ids import GroupName, LaneId, Partition, TopicId, TopicName
from mesh.offsets.positions import PositionKind, to_destination, to_source
from mesh.offsets.view import OffsetView
from mesh.ports import Cluster
from mesh.shares import Subscription

NEVER, RECREATED, NOT_BEGUN = "never-committed", "recreated", "not-begun"
"""What a partition says beside the kinds of `PositionKind`."""
WHY = {
    PositionKind.BEFORE: "it lies before what the subscription mirrors",
    PositionKind.BEYOND: "it is not mirrored yet",
    RECREATED: "it is of another incarnation of the source topic",
    NOT_BEGUN: "its lane has not begun",
}
"""The answers that are none. A partition on which the group never committed has nothing to translate."""
LATER = frozenset({PositionKind.BEYOND, NOT_BEGUN})
"""Of these, the ones that come by themselves."""
RETRY_S = 0.3
"""Between two looks at what is awaited."""


class Direction(StrEnum):
    FORWARD = "forward"
    """From the source, the provider's cluster, to the destination, ours."""
    REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class MovedPosition:
    """One partition of a group: where it stands, and where that is on the other side."""

    lane: LaneId
    destination: Partition
    answer: str
    reason: str = ""
    source_position: int | None = None
    destination_position: int | None = None
    lag_records: int | None = None
    """Offsets left to read where the group stands now."""
    present: int | None = None
    """Where the group that it becomes stands on the other side already."""
    topic_id: TopicId | None = None
    """The incarnation of the source topic by whose map it was translated; told where it goes back to the provider."""


@dataclass(frozen=True, slots=True)
class Move:
    subscription: Subscription
    direction: Direction
    group: GroupName
    target: GroupName
    """What the group is called where it goes."""
    has_members: bool
    """Where it is now: what they read from here on is read again after the move."""
    target_has_members: bool
    positions: tuple[MovedPosition, ...]

    @property
    def unanswered(self) -> list[MovedPosition]:
        return [each for each in self.positions if each.answer in WHY]

    def require_answers(self) -> None:
        """Raises PositionsUnanswered."""
        missing = self.unanswered
        if missing:
            first = missing[0]
            place = (first.lane.topic, first.lane.partition)
            raise PositionsUnanswered(self.group, *place, WHY[first.answer], len(missing))


@dataclass(frozen=True, slots=True)
class Lane:
    """What translation needs of one lane that has begun."""

    destination: Partition
    topic_id: TopicId
    view: OffsetView


async def lanes_of(
    cluster: Cluster, lanes: Lanes, subscription: Subscription, is_asked: Callable[[LaneId], bool] = lambda _: True
) -> dict[LaneId, Lane]:
    """The lanes that have begun, of those that are asked for. Raises LaneStateDamaged."""
    found: dict[LaneId, Lane] = {}
    for lane, checkpoint in (await stored_checkpoints(cluster.lanes, subscription)).items():
        topic = subscription.destination_of(lane.topic)
        if topic is None or not is_asked(lane):
            continue
        if (view := await lanes.offset_map(lane)) is not None:
            found[lane] = Lane(Partition(topic, lane.partition), checkpoint.topic_id, view)
    return found


async def forward(services: Services, subscription: Subscription, group: GroupName, target: GroupName) -> Move:
    """Where the provider's group goes on here. Raises GroupAbsent and what asking the peer raises."""
    topics = [mapping.source_topic for mapping in subscription.topics]
    found = await services.links.group_positions(subscription.peer, subscription.share, group, topics, with_ends=True)
    if not found:
        raise GroupAbsent(group, f"{subscription.peer}/{subscription.share}")
    lanes = await lanes_of(services.cluster, services.lanes, subscription)
    here = await services.cluster.groups.describe(target, {m.destination_topic for m in subscription.topics})
    moved = translated(subscription, found[0], lanes)
    positions = tuple(replace(each, present=here.positions.get(each.destination)) for each in moved)
    return Move(
        subscription,
        Direction.FORWARD,
        group,
        target,
        found[0].has_members,
        here.state is GroupState.ACTIVE,
        positions,
    )


def translated(subscription: Subscription, group: PeerGroup, lanes: Mapping[LaneId, Lane]) -> list[MovedPosition]:
    """Each partition of the group or of the lanes, in order."""
    stands = {topic.topic: topic for topic in group.topics}
    places = {LaneId(subscription.name, topic.topic, number) for topic in group.topics for number in topic.positions}
    every = sorted({*places, *lanes})
    return [_to_destination(subscription, lane, stands.get(lane.topic), lanes.get(lane)) for lane in every]


def _to_destination(
    subscription: Subscription, lane: LaneId, stands: TopicPositions | None, held: Lane | None
) -> MovedPosition:
    place = Partition(subscription.destination_of(lane.topic) or lane.topic, lane.partition)
    position = stands.positions.get(lane.partition) if stands is not None else None
    if stands is None or position is None:
        return MovedPosition(lane, place, NEVER)
    end = stands.ends.get(lane.partition)
    lag = None if end is None else max(0, end - position)
    if held is None or held.topic_id != stands.topic_id:
        return MovedPosition(lane, place, NOT_BEGUN if held is None else RECREATED, "", position, None, lag)
    answer = to_destination(held.view, position)
    return MovedPosition(lane, place, answer.kind, answer.reason, position, answer.position, lag)


async def reverse(services: Services, subscription: Subscription, group: GroupName, target: GroupName) -> Move:
    """Where our group goes on at the provider. Raises GroupAbsent and what asking the peer raises."""
    topics = {mapping.destination_topic for mapping in subscription.topics}
    here = await services.cluster.groups.describe(group, topics)
    if not here.positions:
        raise GroupAbsent(group, f"subscription '{subscription.name}' here")
    there = await _there(services, subscription, target)
    lanes = await lanes_of(services.cluster, services.lanes, subscription)
    ranges = await ranges_of(services.cluster.source, here.positions)
    moved = []
    for lane, held in sorted(lanes.items()):
        position = here.positions.get(held.destination)
        if position is None:
            moved.append(MovedPosition(lane, held.destination, NEVER))
            continue
        answer = to_source(held.view, position)
        lag = max(0, ranges[held.destination].last_stable - position)
        present = _present(there, lane)
        moved.append(
            MovedPosition(
                lane, held.destination, answer.kind, "", answer.position, position, lag, present, held.topic_id
            )
        )
    active, busy = here.state is GroupState.ACTIVE, there is not None and there.has_members
    return Move(subscription, Direction.REVERSE, group, target, active, busy, tuple(moved))


async def _there(services: Services, subscription: Subscription, group: GroupName) -> PeerGroup | None:
    """The provider's group, None where it has none or says nothing of it."""
    topics = [mapping.source_topic for mapping in subscription.topics]
    try:
        found = await services.links.group_positions(
            subscription.peer, subscription.share, group, topics, with_ends=False
        )
    except MeshError:  # it is for information only: what is written is judged over there
        return None
    return found[0] if found else None


def _present(group: PeerGroup | None, lane: LaneId) -> int | None:
    topics = group.topics if group is not None else ()
    return next((each.positions.get(lane.partition) for each in topics if each.topic == lane.topic), None)


async def find(
    services: Services,
    subscription: Subscription,
    direction: Direction,
    group: GroupName,
    target: GroupName,
    wait_s: float = 0,
) -> Move:
    """The move, as soon as every position has an answer or waiting is in vain; after `wait_s` as it is.

    Raises GroupAbsent and what asking the peer raises.
    """
    ask = forward if direction is Direction.FORWARD else reverse
    give_up = asyncio.get_running_loop().time() + wait_s
    while True:
        move = await ask(services, subscription, group, target)
        awaited = {each.answer for each in move.unanswered}
        if not awaited or not awaited <= LATER or asyncio.get_running_loop().time() + RETRY_S > give_up:
            return move
        await asyncio.sleep(RETRY_S)


async def commit(services: Services, writer: GroupWriter, move: Move, *, backward: bool) -> int:
    """Write the move; how many positions were changed.

    Raises PositionsUnanswered, GroupNotEmpty, PositionWouldGoBack, PositionOutsideLog, and what asking the peer raises.
    """
    move.require_answers()
    if move.direction is Direction.FORWARD:
        wanted = {each.destination: each.destination_position for each in move.positions}
        answers = {place: position for place, position in wanted.items() if position is not None}
        changed = await writer.commit(move.target, answers, backward=backward)
        shown = ",".join(f"{place}={position}" for place, position in answers.items())
        details: dict[str, Any] = {
            "subscription": move.subscription.name,
            "from": move.group,
            "changed": changed,
            "positions": shown,
        }
        await services.audit.record("group.committed", move.target, **details)
        return changed
    return await services.links.group_commit(
        move.subscription.peer,
        move.subscription.share,
        move.target,
        _by_topic(move.positions),
        backward=backward,
    )


def _by_topic(moved: Sequence[MovedPosition]) -> list[TopicPositions]:
    found: dict[TopicName, dict[int, int]] = {}
    ids: dict[TopicName, TopicId] = {}
    for each in moved:
        if each.source_position is not None:
            assert each.topic_id is not None, each
            found.setdefault(each.lane.topic, {})[each.lane.partition] = each.source_position
            ids[each.lane.topic] = each.topic_id
    return [TopicPositions(topic, ids[topic], positions) for topic, positions in found.items()]
