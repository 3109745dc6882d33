"""An `AuditLog` on a topic of one partition that keeps everything: an entry's index is its offset.

One producer, by name: a gateway that takes the log over shuts out the one before it with its first entry. Batches are
repeated until their outcome is known; one that was given up is settled before anything else is written or read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.errors import AuditNotKept
from gateway.kafka.offsets import log_range
from gateway.kafka.patience import patiently, pauses
from gateway.kafka.scan import scan
from gateway.kafka.state_topics import create_state_topic
from gateway.kafka.topics import topic_configs
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Producer, StampedBatch, next_sequence, restamp
from mesh.cluster_errors import BatchRefused, SequenceRefused, TopicAbsent, TopicExists
from mesh.errors import NetworkError
from mesh.ids import Partition

AUDIT_TOPIC = "_mesh.audit"
CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


class KafkaAudit:
    """Implements `mesh.ports.AuditLog`. Made by `open_audit`. Also raises ProducerFenced: another gateway writes."""

    def __init__(self, client: Client, topic: str) -> None:
        self._client = client
        self._partition = Partition(topic, 0)
        self._name = topic.replace("_mesh.", "mesh.")
        self._destination = KafkaDestination(client)
        self._lock = asyncio.Lock()
        self._producer: Producer | None = None
        self._sequence = 0
        self._pending: StampedBatch | None = None
        """Sent, and its outcome not known."""

    async def append(self, entries: Sequence[bytes]) -> None:
        now_ms = int(time.time() * 1000)
        batch = encode([Record(at, now_ms, None, entry) for at, entry in enumerate(entries)])
        async with self._lock:
            await self._settle()
            if self._producer is None:
                self._producer, self._sequence = await self._destination.producer(self._name), 0
            self._pending = restamp(batch, self._producer, self._sequence)
            await self._settle()

    async def end(self) -> int:
        async with self._lock:
            await self._settle()
            return (await log_range(self._client, self._partition, self._client.config.request_timeout_s)).end

    async def read(self, from_index: int, limit: int) -> list[bytes]:
        async def ask() -> list[bytes]:
            where = await log_range(self._client, self._partition, self._client.config.request_timeout_s)
            end = min(where.end, from_index + limit)
            found: list[bytes] = []
            async for header, batch in scan(self._client, self._partition, from_index, end):
                records = records_of(header, batch[HEADER_BYTES:])
                found += [r.value or b"" for r in records if from_index <= header.base_offset + r.offset_delta < end]
            return found

        return await patiently(self._client, self._partition, ask, self._client.config.request_timeout_s)

    async def _settle(self) -> None:
        """Send what is pending until its outcome is known, for as long as a request may take."""
        give_up = asyncio.get_running_loop().time() + self._client.config.request_timeout_s
        for pause_s in pauses():
            if self._pending is None:
                return
            try:
                await self._destination.append(self._partition, self._pending)
            except (SequenceRefused, BatchRefused):
                self._producer = self._pending = (
                    None  # nothing was written; the broker may have lost what it knew of us
                )
                raise
            except NetworkError:
                if self._client.closed or asyncio.get_running_loop().time() > give_up:
                    raise
                await asyncio.sleep(pause_s)
            else:
                self._sequence = next_sequence(self._pending.base_sequence, self._pending.count)
                self._pending = None


async def open_audit(client: Client, topic: str = AUDIT_TOPIC) -> KafkaAudit:
    """The log on `topic`, created where it is absent. Raises AuditNotKept where the topic would lose entries."""
    try:
        await client.topic(topic)
    except TopicAbsent:
        with suppress(TopicExists):  # another gateway may be quicker
            await create_state_topic(client, topic, 1, CONFIG)
    found = (await topic_configs(client, [topic]))[topic]
    for key, wanted in CONFIG.items():
        if found[key][0] != wanted:
            raise AuditNotKept(topic, key, found[key][0], wanted)
    return KafkaAudit(client, topic)
