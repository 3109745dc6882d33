"""What the Kafka adapter costs by itself: produce of restamped batches and raw fetch, against a broker on this machine.

    python -m bench.kafka_parts [--megabytes 1000] [--partitions 4] [--batch-kilobytes 256] [--idle 1000]

Prints MB/s and CPU seconds per GB of this process (the broker's not included); the produce figure contains
restamping, with its CRC. `--idle` measures lanes that wait for data: CPU per lane and second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable

import uvloop

from gateway.kafka import KafkaConfig, open_kafka
from mesh.batch.stamp import next_sequence, restamp
from mesh.ids import Partition
from mesh.ports import Cluster
from tests.support.batches import plain_batch
from tests.support.brokers import Broker, BrokerConfig

RECORD_BYTES = 1000
FETCH_BYTES = 4 << 20
IDLE_S = 5.0
KEEP = {"retention.ms": "-1"}


async def _produce(cluster: Cluster, partition: Partition, batch_bytes: int, total_bytes: int) -> int:
    destination = cluster.destination
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


async def _fetch(cluster: Cluster, partition: Partition) -> int:
    """Read to the end without looking at more than the last header of each answer."""
    end = (await cluster.source.range(partition)).end
    offset = size = 0
    while offset < end:
        fetched = await cluster.source.fetch(partition, offset, None, FETCH_BYTES, 1)
        data, at = fetched.data, 0
        while len(data) - at >= 61:
            after = at + 12 + int.from_bytes(data[at + 8 : at + 12], "big")
            if after > len(data):
                break
            offset = int.from_bytes(data[at : at + 8], "big") + int.from_bytes(data[at + 23 : at + 27], "big") + 1
            at = after
        size += at
    return size


async def _measure(words: str, work: Callable[[], Awaitable[int]]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    size = await work()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{words}: {size / 1e6 / took:.0f} MB/s, {cpu / (size / 1e9):.2f} CPU-s per GB", flush=True)


async def _all(works: list[Awaitable[int]]) -> int:
    return sum(await asyncio.gather(*works))


async def _idle(cluster: Cluster, lanes: int) -> None:
    name = "bench-idle"
    await cluster.topics.create(name, lanes, KEEP)
    until = 0.0

    async def wait(number: int) -> int:
        await cluster.source.fetch(Partition(name, number), 0, None, FETCH_BYTES, 0.5)
        while time.monotonic() < until:
            await cluster.source.fetch(Partition(name, number), 0, None, FETCH_BYTES, 0.5)
        return 0

    await _all([wait(number) for number in range(lanes)])  # a new topic's leaders take a moment
    until = time.monotonic() + IDLE_S
    cpu = time.process_time()
    await _all([wait(number) for number in range(lanes)])
    each_ms = (time.process_time() - cpu) * 1000 / lanes / IDLE_S
    print(f"{lanes} idle lanes: {each_ms:.4f} ms CPU per lane and second", flush=True)


async def _run(arguments: argparse.Namespace, address: str) -> None:
    async with open_kafka(KafkaConfig(bootstrap=(address,))) as cluster:
        name, count = "bench-parts", arguments.partitions
        await cluster.topics.create(name, count, KEEP)
        places = [Partition(name, number) for number in range(count)]
        batch_bytes, total = arguments.batch_kilobytes << 10, arguments.megabytes * 1_000_000 // count
        words = f"{count} partitions, {arguments.batch_kilobytes} KB batches"
        await _measure(
            f"produce, {words}", lambda: _all([_produce(cluster, place, batch_bytes, total) for place in places])
        )
        for _ in range(2):
            await _measure(f"fetch, {words}", lambda: _all([_fetch(cluster, place) for place in places]))
        if arguments.idle:
            await _idle(cluster, arguments.idle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--batch-kilobytes", type=int, default=256)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--stock-asyncio", action="store_true")
    arguments = parser.parse_args()
    with Broker.start(BrokerConfig(heap_mb=1024, warm=True)) as broker:
        run = asyncio.run if arguments.stock_asyncio else uvloop.run
        run(_run(arguments, broker.address))


if __name__ == "__main__":
    main()
