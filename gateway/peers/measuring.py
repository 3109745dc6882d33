"""How much there is to copy: ranges and sizes of source partitions, for a peer that plans a subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from gateway.registry import Registry
from gateway.starting import first_offset
from mesh.cluster_errors import TopicAbsent
from mesh.errors import CallerError, MeshError
from mesh.ids import IllegalName, OrgId, Partition, ShareName, TopicName
from mesh.log import Topic
from mesh.policy import Request
from mesh.ports import Cluster
from mesh.shares import StartAt
from mesh.wire.v1 import link_pb2

MAX_TOPICS = 100
"""In one request; partitions are asked for one by one."""
AT_ONCE = 32
"""Questions to our cluster that one request makes at the same time."""


class TooManyMeasured(CallerError):
    code: ClassVar[str] = "too-many-measured"
    sentence: ClassVar[str] = f"more than {MAX_TOPICS} topics are measured in one request"
    hint: ClassVar[str] = "ask for them in several"


class Measuring:
    def __init__(self, cluster: Cluster, registry: Registry, now_ms: Callable[[], int]) -> None:
        self._cluster = cluster
        self._registry = registry
        self._now_ms = now_ms
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def answer(self, peer: OrgId, body: link_pb2.MeasureRequest) -> link_pb2.MeasureReply:
        """Of the topics that the peer may read now. Raises TooManyMeasured, ShareNotAvailable, IllegalName."""
        if len(body.topics) > MAX_TOPICS:
            raise TooManyMeasured
        share, start = ShareName(body.share), _start(body)
        self._registry.decide(Request(peer, share), self._now_ms()).require()
        reply = link_pb2.MeasureReply()
        for name in body.topics:
            topic = await self._readable(peer, share, name)
            if topic is not None:
                reply.topics.append(await self._measure(topic, start))
        self._registry.decide(Request(peer, share), self._now_ms()).require()  # that took a while
        return reply

    async def _readable(self, peer: OrgId, share: ShareName, name: str) -> Topic | None:
        try:
            asked = Request(peer, share, TopicName(name))
            if not self._registry.decide(asked, self._now_ms()).allowed:
                return None
            topic = await self._cluster.topics.describe(name)
        except (IllegalName, TopicAbsent):
            return None
        asked = Request(peer, share, TopicName(name), topic_id=topic.topic_id)
        return topic if self._registry.decide(asked, self._now_ms()).allowed else None

    async def _measure(self, topic: Topic, start: StartAt) -> link_pb2.TopicMeasure:
        sizes = await self._sizes(topic)
        parts = [self._partition(Partition(topic.name, number), start, sizes) for number in range(topic.partitions)]
        return link_pb2.TopicMeasure(topic=topic.name, partitions=await asyncio.gather(*parts))

    async def _sizes(self, topic: Topic) -> dict[int, int]:
        try:
            return dict(await self._cluster.topics.sizes(topic.name) or {})
        except MeshError:  # they are worth less than an answer
            return {}

    async def _partition(
        self, partition: Partition, start: StartAt, sizes: dict[int, int]
    ) -> link_pb2.PartitionMeasure:
        async with self._slots:
            log_range = await self._cluster.source.range(partition)
            first = await first_offset(self._cluster.source, partition, start, log_range)
        return link_pb2.PartitionMeasure(
            log_start=log_range.start,
            log_end=log_range.end,
            last_stable=log_range.last_stable,
            first_source_offset=first,
            size_bytes=sizes.get(partition.number),
        )


def _start(body: link_pb2.MeasureRequest) -> StartAt:
    """The position asked for: the log's start where there is none."""
    match body.position.WhichOneof("at"):
        case "latest":
            return StartAt("latest")
        case "offset":
            return StartAt("offset", body.position.offset)
        case "timestamp_ms":
            return StartAt("timestamp", body.position.timestamp_ms)
        case _:
            return StartAt()
