"""A `StateStore` on a compacted topic: read to its end when opened, served from memory, appended to by groups.

The entries of one put go into one batch of one partition, chosen by the first two parts of their keys, so a put is
there as a whole or not at all. What waits while a batch is under way goes into the next one together. This gateway
is taken to be the only writer: what another one puts is seen at the next opening.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from zlib import crc32

from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.errors import StateNotCompacted
from gateway.kafka.offsets import log_range
from gateway.kafka.patience import patiently
from gateway.kafka.scan import scan
from gateway.kafka.state_topics import create_state_topic
from gateway.kafka.state_writer import PartitionWriter
from gateway.kafka.topics import topic_configs
from mesh.batch.header import HEADER_BYTES
from mesh.batch.records import records_of
from mesh.cluster_errors import ClusterUnreachable, TopicAbsent, TopicExists
from mesh.ids import Partition

CONTROL_TOPIC, CONTROL_PARTITIONS = "_mesh.control", 1
LANES_TOPIC, LANES_PARTITIONS = "_mesh.lanes", 8
CONFIG = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(8 << 20),
    "segment.bytes": str(64 << 20),  # the active segment is never compacted: a large one would be read at every start
}


class KafkaStore:
    """Implements `mesh.ports.StateStore`. Made by `open_store`."""

    def __init__(self, client: Client, writers: list[PartitionWriter], entries: dict[str, bytes]) -> None:
        self._client = client
        self._writers = writers
        self._entries = entries

    async def load(self, prefix: str) -> dict[str, bytes]:
        return {key: value for key, value in self._entries.items() if key.startswith(prefix)}

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        """As the port says. A put that takes too long raises ClusterUnreachable, yet may become durable later."""
        groups = {_group(key) for key in entries}
        if not groups:
            return
        assert len(groups) == 1, f"one put holds keys of one group, not of {sorted(groups)}"
        writer = self._writers[crc32(groups.pop().encode()) % len(self._writers)]
        done = writer.queue(dict(entries))
        timeout_s = self._client.config.request_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(done)
        except TimeoutError:
            why = f"state was not stored within {timeout_s:g} s"
            raise ClusterUnreachable(self._client.cluster_id, why) from None


async def open_store(client: Client, topic: str, partitions: int) -> KafkaStore:
    """The store on `topic`, created where it is absent, and all its entries. Raises StateNotCompacted."""
    found = await _partitions(client, topic, partitions)
    entries: dict[str, bytes] = {}
    for partition in found:
        entries |= await _read(client, partition)
    destination = KafkaDestination(client)
    writers = [PartitionWriter(destination, partition, entries) for partition in found]
    for writer in writers:
        client.spawn(writer.run())
    return KafkaStore(client, writers, entries)


async def _partitions(client: Client, topic: str, partitions: int) -> list[Partition]:
    try:
        await client.topic(topic)
    except TopicAbsent:
        with suppress(TopicExists):  # another gateway may be quicker
            await create_state_topic(client, topic, partitions, CONFIG)
    found = await client.topic(topic, fresh=True)
    policy, _ = (await topic_configs(client, [topic]))[topic]["cleanup.policy"]
    if policy != "compact":
        raise StateNotCompacted(topic, policy)
    return [Partition(topic, number) for number in range(len(found.leaders))]


async def _read(client: Client, partition: Partition) -> dict[str, bytes]:
    async def ask() -> dict[str, bytes]:
        where = await log_range(client, partition, client.config.request_timeout_s)
        entries: dict[str, bytes] = {}
        async for header, batch in scan(client, partition, where.start, where.end):
            for record in records_of(header, batch[HEADER_BYTES:]):
                _apply(entries, (record.key or b"").decode(), record.value)
        return entries

    return await patiently(client, partition, ask, client.config.request_timeout_s)


def _apply(entries: dict[str, bytes], key: str, value: bytes | None) -> None:
    if value is None:
        entries.pop(key, None)
    else:
        entries[key] = value


def _group(key: str) -> str:
    return "/".join(key.split("/", 2)[:2])
