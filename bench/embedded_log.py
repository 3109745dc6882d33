"""What the embedded log costs: appends of large and small batches, lone durable commits, and reading in order.

    python -m bench.embedded_log [--directory DIR] [--megabytes 512]

Prints MB/s and CPU seconds per GB (of this process, all threads). Batches hold incompressible records of 1 KB. The
directory should lie on the kind of disk that the gateway will use: a memory file system syncs for nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.embedded.cluster import open_embedded
from mesh.batch.stamp import Producer, StampedBatch, next_sequence, restamp
from mesh.ids import Partition
from mesh.ports import Cluster, Destination
from tests.support.batches import plain_batch

RECORD_BYTES = 1000


async def _append(destination: Destination, partition: Partition, batch_bytes: int, total_bytes: int) -> int:
    """Append batches of `batch_bytes` with as many in flight as the log takes; answers the bytes appended."""
    producer, sequence, appended = await destination.producer(), 0, 0
    count = max(1, batch_bytes // (RECORD_BYTES + 12))
    template = plain_batch([os.urandom(RECORD_BYTES) for _ in range(count)])
    pending: deque[Awaitable[int]] = deque()
    while appended < total_bytes:
        batch = restamp(template, producer, sequence)
        pending.append(destination.append(partition, batch))
        sequence = next_sequence(sequence, count)
        appended += batch.size_bytes
        if len(pending) >= destination.max_in_flight:
            await pending.popleft()
    while pending:
        await pending.popleft()
    return appended


async def _lone_appends(destination: Destination, partition: Partition, count: int) -> None:
    template = plain_batch([b"x" * 100])
    for _ in range(count):
        await destination.append(partition, _unnumbered(template))


async def _parallel_appends(destination: Destination, partitions: list[Partition], count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for partition in partitions:
            group.create_task(_lone_appends(destination, partition, count // len(partitions)))


def _unnumbered(template: bytes) -> StampedBatch:
    return restamp(template, Producer(-1, -1), -1)


async def _read(cluster: Cluster, partition: Partition) -> int:
    offset, end, size_bytes = 0, (await cluster.source.range(partition)).end, 0
    while offset < end:
        fetched = await cluster.source.fetch(partition, offset, None, 1 << 20, 0)
        size_bytes += len(fetched.data)
        offset = _next_offset(fetched.data)
    return size_bytes


def _next_offset(data: memoryview) -> int:
    at = last = 0
    while at < len(data):
        last, at = at, at + 12 + int.from_bytes(data[at + 8 : at + 12], "big")
    return int.from_bytes(data[last : last + 8], "big") + int.from_bytes(data[last + 23 : last + 27], "big") + 1


async def _measured(name: str, run: Callable[[], Awaitable[int]]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    size_bytes = await run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:44} {size_bytes / 1e6 / wall:8.0f} MB/s {cpu / (size_bytes / 1e9):8.2f} CPU-s/GB")


async def _rate(name: str, count: int, run: Callable[[], Awaitable[None]]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    await run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:44} {count / wall:8.0f} /s   {cpu / count * 1e6:8.0f} CPU-us each")


async def _bench(directory: Path, total_bytes: int) -> None:
    cluster = await open_embedded(directory, now_ms=int(time.time() * 1000))
    try:
        await cluster.topics.create("bench", 20, {})
        large, small, lone = (Partition("bench", number) for number in range(3))
        many = [Partition("bench", number) for number in range(4, 20)]
        to = cluster.destination
        await _measured("append, 256 KB batches", lambda: _append(to, large, 256_000, total_bytes))
        await _measured("append, 16 KB batches", lambda: _append(to, small, 16_000, total_bytes // 2))
        await _measured("read in order, 256 KB batches", lambda: _read(cluster, large))
        await _measured("read in order, 16 KB batches", lambda: _read(cluster, small))
        await _rate("one-record commits, one after another", 5000, lambda: _lone_appends(to, lone, 5000))
        await _rate("one-record appends, 16 writers", 16000, lambda: _parallel_appends(to, many, 16000))
    finally:
        await cluster.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--megabytes", type=int, default=512)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="bench-embedded-") as directory:
        asyncio.run(_bench(Path(directory), chosen.megabytes * 1_000_000))


if __name__ == "__main__":
    main()
