"""Positions of groups as they travel, checked on arrival: what a peer sends is bounded and makes sense, or is refused.

A. Parts are told apart by name: a topic, and a partition of it, stand once.
B. `positions`, and `ends` where there are any, go with `partitions` one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from gateway.groups.errors import PositionsIllegal
from mesh.errors import MeshError
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, TopicId, TopicName
from mesh.link.machine import MAX_LANES
from mesh.offsets.breaks import OFFSET_LIMIT
from mesh.wire.v1 import link_pb2

MAX_TOPICS = 1000
"""In one request."""
MAX_POSITIONS = 20_000
"""In one reply: at most 20 bytes each, so it fits the smallest frame."""


def encoded(topics: Iterable[TopicPositions]) -> list[link_pb2.TopicPositions]:
    return [
        link_pb2.TopicPositions(
            topic=each.topic,
            topic_id=each.topic_id,
            partitions=list(each.positions),
            positions=list(each.positions.values()),
            ends=[each.ends[number] for number in each.positions] if each.ends else [],
        )
        for each in topics
    ]


def groups_of(reply: link_pb2.GroupPositionsReply, group: GroupName | None, topics: Collection[str]) -> list[PeerGroup]:
    """The groups in a reply to a question for `group` (None: all) on `topics`. Raises PositionsIllegal."""
    try:
        found = [
            PeerGroup(GroupName(each.group), each.has_members, positions_of(each.topics, topics))
            for each in reply.groups
        ]
    except PositionsIllegal:
        raise
    except MeshError as error:
        raise PositionsIllegal(str(error)) from error
    names = [each.name for each in found]
    if len(set(names)) < len(names) or (group is not None and any(name != group for name in names)):
        raise PositionsIllegal("it names a group twice, or one that was not asked for")
    if sum(len(topic.positions) for each in found for topic in each.topics) > MAX_POSITIONS:
        raise PositionsIllegal(f"there are more than {MAX_POSITIONS}")
    return found


def positions_of(
    sent: Sequence[link_pb2.TopicPositions], topics: Collection[str] | None = None
) -> tuple[TopicPositions, ...]:
    """What stands in a message, on `topics` only where they are given. Raises PositionsIllegal, IllegalName."""
    if len(sent) > MAX_TOPICS or sum(len(each.partitions) for each in sent) > MAX_POSITIONS:
        raise PositionsIllegal("there are too many")
    found = tuple(_topic_of(each) for each in sent)
    names = [each.topic for each in found]
    if len(set(names)) < len(names):
        raise PositionsIllegal("it names a topic twice")
    if topics is not None and not set(names) <= set(topics):
        raise PositionsIllegal("it names a topic that was not asked for")
    return found


def _topic_of(sent: link_pb2.TopicPositions) -> TopicPositions:
    topic, count = TopicName(sent.topic), len(sent.partitions)
    if len(sent.positions) != count or len(sent.ends) not in {0, count}:
        raise PositionsIllegal(f"topic {topic} has {count} partitions and other numbers of offsets")
    if len(set(sent.partitions)) < count or any(number >= MAX_LANES for number in sent.partitions):
        raise PositionsIllegal(f"topic {topic} has a partition twice, or one from {MAX_LANES} on")
    if any(offset >= OFFSET_LIMIT for offset in (*sent.positions, *sent.ends)):
        raise PositionsIllegal(f"topic {topic} has an offset that no log can have")
    positions = dict(zip(sent.partitions, sent.positions, strict=True))
    ends = dict(zip(sent.partitions, sent.ends, strict=True)) if sent.ends else {}
    return TopicPositions(topic, TopicId(sent.topic_id), positions, ends)
