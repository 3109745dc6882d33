"""Fills a topic: batches of random records, which no codec makes smaller, in rotation from a pool."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable

from bench.options import Options
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.batch.stamp import next_sequence, restamp
from mesh.ids import Partition
from mesh.ports import Cluster

POOL_BYTES = 32 << 20
"""More different batches than any cache on the way holds."""


async def fill(cluster: Cluster, topic: str, options: Options) -> None:
    """Append exactly `records_per_partition` records to each partition of `topic`."""
    pool = [_batch(options) for _ in range(max(1, min(POOL_BYTES // options.batch_bytes, 4096)))]
    async with asyncio.TaskGroup() as group:
        for number in range(options.partitions):
            group.create_task(_fill(cluster, Partition(topic, number), pool, number, options))


def _batch(options: Options) -> bytes:
    now_ms = int(time.time() * 1000)
    values = [os.urandom(options.record_bytes) for _ in range(options.records_per_batch)]
    return encode([Record(index, now_ms, None, value) for index, value in enumerate(values)], codec=options.codec)


async def _fill(cluster: Cluster, partition: Partition, pool: list[bytes], first: int, options: Options) -> None:
    destination = cluster.destination
    producer, sequence = await destination.producer(), 0
    pending: deque[Awaitable[int]] = deque()
    for index in range(options.batches_per_partition):
        batch = restamp(pool[(first + index) % len(pool)], producer, sequence)
        pending.append(destination.append(partition, batch))
        sequence = next_sequence(sequence, batch.count)
        if len(pending) >= destination.max_in_flight:
            await pending.popleft()
    while pending:
        await pending.popleft()
