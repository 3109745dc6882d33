"""What a peer gets of our consumer groups: their positions on the topics of a share, as its grant says.

A. A group concerns a peer only by its positions on the share's topics: without any it is not named, and cannot be
   written, whether it exists or not. So nobody learns of groups that read something else, or makes new ones.
B. A denial is the one public answer to every denial (mesh.policy).
C. Positions are of an incarnation: one that was copied from an earlier one is refused.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.groups.errors import GroupAbsent, PositionsIllegal, PositionsRefused
from gateway.groups.messages import MAX_POSITIONS, MAX_TOPICS, encoded, positions_of
from gateway.groups.writer import GroupWriter
from gateway.metrics import Metrics
from gateway.ranges import ranges_of
from gateway.registry import Registry
from mesh.cluster_errors import TopicAbsent
from mesh.groups import Group, GroupState, TopicPositions
from mesh.ids import GroupName, OrgId, Partition, ShareName, TopicName
from mesh.log import Topic
from mesh.policy import Request
from mesh.ports import Cluster
from mesh.shares import GroupAccess
from mesh.wire.v1 import link_pb2

MAX_GROUPS = 1000
"""Looked at for one question: each costs the cluster a few requests."""


class GroupAnswers:
    """Answers GroupPositionsRequest by `positions` and GroupCommitRequest by `commit`."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        writer: GroupWriter,
        record: Callable[..., Awaitable[None]],
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._writer = writer
        self._record = record
        self._metrics = metrics
        self._now_ms = now_ms
        self._asking: defaultdict[OrgId, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def positions(self, peer: OrgId, body: link_pb2.GroupPositionsRequest) -> link_pb2.GroupPositionsReply:
        """Raises ShareNotAvailable, IllegalName, PositionsRefused. One question of a peer at a time: it costs many."""
        async with self._asking[peer]:
            return await self._positions(peer, body)

    async def _positions(self, peer: OrgId, body: link_pb2.GroupPositionsRequest) -> link_pb2.GroupPositionsReply:
        topics = await self._topics(peer, ShareName(body.share), body.topics, GroupAccess.READ)
        names = [GroupName(body.group)] if body.group else [each.name for each in await self._cluster.groups.list()]
        reply = link_pb2.GroupPositionsReply(truncated=len(names) > MAX_GROUPS)
        count = 0
        for name in names[:MAX_GROUPS]:
            group = await self._cluster.groups.describe(name, topics)
            count += len(group.positions)
            if count > MAX_POSITIONS:
                reply.truncated = True
                break
            if group.positions:
                ends = await self._ends(group) if body.with_ends else {}
                reply.groups.append(_told(group, topics, ends))
        self._require(Request(peer, ShareName(body.share), groups=GroupAccess.READ))  # that took a while
        return reply

    async def commit(self, peer: OrgId, body: link_pb2.GroupCommitRequest) -> link_pb2.GroupCommitReply:
        """Raises ShareNotAvailable, IllegalName, PositionsRefused, GroupAbsent, GroupNotEmpty, PositionWouldGoBack,
        PositionOutsideLog.
        """
        name, wanted = GroupName(body.group), _wanted(body)
        share = ShareName(body.share)
        topics = await self._topics(peer, share, [each.topic for each in wanted], GroupAccess.WRITE)
        for each in wanted:
            if each.topic not in topics:
                raise TopicAbsent(each.topic)
            if each.topic_id != topics[each.topic].topic_id:
                raise PositionsRefused(f"topic {each.topic} was created anew since it was copied")
            if any(number >= topics[each.topic].partitions for number in each.positions):
                raise PositionsRefused(f"topic {each.topic} has {topics[each.topic].partitions} partitions")
        if not (await self._cluster.groups.describe(name, await self._readable(peer, share))).positions:
            raise GroupAbsent(name, f"share '{share}'")
        places = {Partition(each.topic, at): to for each in wanted for at, to in each.positions.items()}
        changed = await self._writer.commit(name, places, backward=body.backward)
        shown = ",".join(f"{place}={to}" for place, to in places.items())
        await self._record("group.committed", name, share=share, peer=peer, changed=changed, positions=shown)
        return link_pb2.GroupCommitReply(changed=changed)

    async def _topics(
        self, peer: OrgId, share: ShareName, names: Sequence[str], access: GroupAccess
    ) -> Mapping[str, Topic]:
        """The asked topics that there are, all of which the peer may ask about."""
        if not 1 <= len(names) <= MAX_TOPICS:
            raise PositionsRefused(f"it names {len(names)} topics; 1 to {MAX_TOPICS} are answered")
        found: dict[str, Topic] = {}
        for name in dict.fromkeys(map(TopicName, names)):
            self._require(Request(peer, share, name, groups=access))
            try:
                topic = await self._cluster.topics.describe(name)
            except TopicAbsent:
                continue
            self._require(Request(peer, share, name, topic_id=topic.topic_id, groups=access))
            found[name] = topic
        return found

    async def _readable(self, peer: OrgId, share: ShareName) -> set[str]:
        """All topics of the share that the peer may read: a copy that may not be shared on is none of them."""
        held = self._registry.share(share)
        found = await self._cluster.topics.list(lambda name: bool(held.holds(name)))
        asked = [Request(peer, share, TopicName(each.name), topic_id=each.topic_id) for each in found]
        return {each.topic for each in asked if each.topic and self._registry.decide(each, self._now_ms()).allowed}

    def _require(self, request: Request) -> None:
        decision = self._registry.decide(request, self._now_ms())
        if not decision.allowed:
            self._metrics.refused(request.peer, decision.reason)
        decision.require()

    async def _ends(self, group: Group) -> dict[Partition, int]:
        ranges = await ranges_of(self._cluster.source, group.positions)
        return {place: held.last_stable for place, held in ranges.items()}


def _wanted(body: link_pb2.GroupCommitRequest) -> tuple[TopicPositions, ...]:
    """Raises PositionsRefused, IllegalName."""
    try:
        return positions_of(body.topics)
    except PositionsIllegal as error:
        raise PositionsRefused(error.why) from error


def _told(group: Group, topics: Mapping[str, Topic], ends: Mapping[Partition, int]) -> link_pb2.GroupPositions:
    by_topic: dict[str, dict[int, int]] = {}
    for (topic, number), position in group.positions.items():
        by_topic.setdefault(topic, {})[number] = position
    told = [
        TopicPositions(
            TopicName(topic),
            topics[topic].topic_id,
            positions,
            {number: ends[Partition(topic, number)] for number in positions} if ends else {},
        )
        for topic, positions in by_topic.items()
    ]
    return link_pb2.GroupPositions(group=group.name, has_members=group.state is GroupState.ACTIVE, topics=encoded(told))
