"""Fills many partitions with the same batches, some partitions at a time: a topic of a thousand lanes, or of one."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass

from mesh.batch.encode import encode
from mesh.batch.header import Codec
from mesh.batch.records import Record
from mesh.batch.stamp import next_sequence, restamp
from mesh.ids import Partition
from mesh.ports import Cluster

POOL_BYTES = 32 << 20
"""More different batches than any cache on the way holds."""
AT_ONCE = 8
"""Partitions: more would ask for memory of the broker, and go no faster."""


@dataclass(frozen=True, slots=True)
class Content:
    """What one partition is given; random values, which no codec makes smaller."""

    batches: int
    records_per_batch: int
    record_bytes: int = 1000
    codec: Codec = Codec.LZ4

    @property
    def records(self) -> int:
        return self.batches * self.records_per_batch

    @property
    def size_gb(self) -> float:
        """Of record values, in 10^9 bytes."""
        return self.records * self.record_bytes / 1e9

    @property
    def batch_bytes(self) -> int:
        return self.records_per_batch * (self.record_bytes + 12)


async def fill_lanes(cluster: Cluster, topic: str, partitions: int, content: Content) -> None:
    """Append `content` to each partition of `topic`."""
    pool = [_batch(content) for _ in range(max(1, min(POOL_BYTES // content.batch_bytes, 512)))]
    free = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for number in range(partitions):
            group.create_task(_fill(cluster, Partition(topic, number), pool, content.batches, free))


def _batch(content: Content) -> bytes:
    now_ms = int(time.time() * 1000)
    values = [os.urandom(content.record_bytes) for _ in range(content.records_per_batch)]
    return encode([Record(index, now_ms, None, value) for index, value in enumerate(values)], codec=content.codec)


async def _fill(
    cluster: Cluster, partition: Partition, pool: list[bytes], batches: int, free: asyncio.Semaphore
) -> None:
    async with free:
        destination = cluster.destination
        producer, sequence = await destination.producer(), 0
        pending: deque[Awaitable[int]] = deque()
        for index in range(batches):
            batch = restamp(pool[(partition.number + index) % len(pool)], producer, sequence)
            pending.append(destination.append(partition, batch))
            sequence = next_sequence(sequence, batch.count)
            if len(pending) >= destination.max_in_flight:
                await pending.popleft()
        while pending:
            await pending.popleft()
