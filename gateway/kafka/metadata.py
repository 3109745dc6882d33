"""What the cluster says of itself: brokers, topics, leaders. Values only; `client.py` asks for them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import NamedTuple

from kio.schema.metadata.v12 import MetadataResponse
from kio.schema.metadata.v12.response import MetadataResponseTopic

from gateway.address import Address
from mesh.ids import TopicId


class Leader(NamedTuple):
    """Who leads a partition; `node` is -1 while an election goes on."""

    node: int
    epoch: int


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    name: str
    topic_id: TopicId
    internal: bool
    leaders: tuple[Leader, ...]
    """One per partition, by number."""


@dataclass(frozen=True, slots=True)
class Brokers:
    cluster_id: str
    addresses: dict[int, Address] = field(default_factory=dict)


def brokers_of(answer: MetadataResponse) -> Brokers:
    addresses = {int(each.node_id): Address(each.host, int(each.port)) for each in answer.brokers}
    return Brokers(answer.cluster_id or "", addresses)


def topic_of(topic: MetadataResponseTopic) -> TopicMetadata:
    """Of an entry without an error."""
    leaders = [Leader(-1, -1)] * len(topic.partitions)
    for each in topic.partitions:
        if 0 <= each.partition_index < len(leaders):
            leaders[each.partition_index] = Leader(int(each.leader_id), int(each.leader_epoch))
    return TopicMetadata(str(topic.name), topic_id_of(topic.topic_id), topic.is_internal, tuple(leaders))


def topic_id_of(value: uuid.UUID | None) -> TopicId:
    return TopicId((value or uuid.UUID(int=0)).hex)
