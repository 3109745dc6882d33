"""Kafka as a `Source`: committed batches as they lie in the log, as views into the response.

A reader that says of which leader epoch the last batch it read was is told when the log was truncated under it
(LogTruncated) instead of being given another history. Only the reader knows: nothing of it is remembered here, so that
readers of one partition cannot mislead each other.
"""

from __future__ import annotations

import asyncio

from gateway.kafka.client import Client
from gateway.kafka.codes import LEADER_UNSETTLED, Code, request_error
from gateway.kafka.errors import LeaderMoved
from gateway.kafka.fetch_message import FetchedPart, FetchPart
from gateway.kafka.fetches import LeaderFetches
from gateway.kafka.metadata import Leader, TopicMetadata
from gateway.kafka.offsets import log_range, offset_at
from gateway.kafka.patience import patiently
from mesh.cluster_errors import LogTruncated, OffsetOutOfRange, TopicRecreated
from mesh.ids import Partition, TopicId
from mesh.log import Fetched, LogRange


class KafkaSource:
    """Implements `mesh.ports.Source`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._leaders: dict[int, LeaderFetches] = {}

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        """As the port says; also raises LogTruncated. An election is waited for, then answered by a NetworkError."""
        deadline = asyncio.get_running_loop().time() + wait_s

        async def ask() -> Fetched:
            topic, leader = await self._incarnation(partition, topic_id)
            left_s = max(0.0, deadline - asyncio.get_running_loop().time())
            part = FetchPart(
                bytes.fromhex(topic.topic_id), partition.number, offset, leader.epoch, last_epoch, max_bytes
            )
            answer = await self._fetches(leader.node).ask(part, left_s)
            return await self._fetched(partition, leader, part, answer)

        return await patiently(self._client, partition, ask, wait_s + self._client.config.request_timeout_s)

    async def range(self, partition: Partition) -> LogRange:
        return await log_range(self._client, partition, self._client.config.request_timeout_s)

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int | None:
        return await offset_at(self._client, partition, timestamp_ms, self._client.config.request_timeout_s)

    async def _incarnation(self, partition: Partition, wanted: TopicId | None) -> tuple[TopicMetadata, Leader]:
        topic, leader = await self._client.leader(partition)
        if wanted is not None and topic.topic_id != wanted:
            await self._client.topic(partition.topic, fresh=True)  # it may be we who are behind
            topic, leader = await self._client.leader(partition)
            if topic.topic_id != wanted:
                raise TopicRecreated(partition.topic, wanted, topic.topic_id)
        return topic, leader

    def _fetches(self, node: int) -> LeaderFetches:
        if node not in self._leaders:
            self._leaders[node] = LeaderFetches(self._client, node)
        return self._leaders[node]

    async def _fetched(self, partition: Partition, leader: Leader, part: FetchPart, answer: FetchedPart) -> Fetched:
        if answer.error in LEADER_UNSETTLED:
            raise LeaderMoved(*partition)
        if answer.error == Code.OFFSET_OUT_OF_RANGE or answer.diverges_at is not None:
            raise await self._out_of_range(partition, part, answer)
        if answer.error != Code.NONE:
            raise request_error("read", partition.topic, answer.error)
        where = LogRange(answer.log_start, answer.high_watermark, answer.last_stable)
        return Fetched(answer.records, answer.aborted, where, leader.epoch)

    async def _out_of_range(
        self, partition: Partition, part: FetchPart, answer: FetchedPart
    ) -> OffsetOutOfRange | LogTruncated | LeaderMoved:
        where = await self.range(partition)
        inside = where.start <= part.offset <= where.end
        if answer.diverges_at is not None:
            end = max(answer.diverges_at, 0)
            return LogTruncated(*partition, part.offset, end, where.start, where.end, answer.diverging_epoch)
        if inside and part.last_epoch > part.leader_epoch:
            # the log never had the epoch that was read: nothing says up to where the histories agree
            return LogTruncated(*partition, part.offset, where.start, where.start, where.end)
        if inside:
            return LeaderMoved(*partition)  # a new leader still learns how far its log is committed
        return OffsetOutOfRange(*partition, part.offset, where.start, where.end)
