"""The verifier's own reader sees in a real Kafka log what a read_committed consumer of another make sees."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from gateway.verify.digests import digest, digest_page
from mesh.ids import Partition
from mesh.ports import Cluster
from tests.support.brokers import open_cluster, shared_broker

pytestmark = pytest.mark.kafka

SEED = 20130101
CODECS = (None, "gzip", "snappy", "lz4", "zstd")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with open_cluster() as cluster:
        yield cluster


async def consumed(partition: Partition, end: int) -> list[tuple[int, bytes]]:
    """(offset, digest) of every record that a read_committed consumer is given below `end`."""
    consumer = AIOKafkaConsumer(bootstrap_servers=shared_broker().address, isolation_level="read_committed")
    await consumer.start()
    try:
        place = TopicPartition(*partition)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        found: list[tuple[int, bytes]] = []
        async with asyncio.timeout(30):
            while await consumer.position(place) < end:
                for message in (await consumer.getmany(place, timeout_ms=200)).get(place, []):
                    headers = tuple((name.encode(), value) for name, value in message.headers)
                    record = (message.offset, message.timestamp, message.key, message.value, headers)
                    found.append((message.offset, digest(record)))
        return found
    finally:
        await consumer.stop()


async def paged(cluster: Cluster, partition: Partition, end: int, max_records: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < end:
        page = await digest_page(cluster.source, partition, position, end, max_records, max_bytes=4096)
        found += zip(page.offsets, page.digests, strict=True)
        assert page.next_source_offset > position
        position = page.next_source_offset
    return found


async def transactions(partition: Partition, rounds: int) -> None:
    """Producers with every codec, their transactions interleaved, a third of them aborted; and a plain one."""
    dice = random.Random(SEED)
    address = shared_broker().address
    producers = [
        AIOKafkaProducer(bootstrap_servers=address, transactional_id=f"t-{uuid4().hex}", compression_type=codec)
        for codec in CODECS
    ]
    plain = AIOKafkaProducer(bootstrap_servers=address)
    await asyncio.gather(*(producer.start() for producer in (*producers, plain)))
    try:
        for number in range(rounds):
            for producer in producers:
                await producer.begin_transaction()
            for step in range(12):
                producer = dice.choice([*producers, plain])
                key = dice.choice([None, b"", b"key"])
                values = [b"", b"%d/%d" % (number, step), bytes(2000)]
                value = dice.choice(values if key is None else [None, *values])
                headers = dice.choice([[], [("a", b"1"), ("b", b"")], [("b", b""), ("a", b"1")]])
                await producer.send_and_wait(partition.topic, value, key, 0, headers=headers)
            for producer in producers:
                await (producer.abort_transaction() if dice.random() < 0.4 else producer.commit_transaction())
    finally:
        await asyncio.gather(*(producer.stop() for producer in (*producers, plain)))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("time_type", ["CreateTime", "LogAppendTime"])
async def test_interleaved_transactions_in_every_codec_are_read_as_a_consumer_reads_them(
    cluster: Cluster, time_type: str
) -> None:
    topic = await cluster.topics.create(
        f"verify-{uuid4().hex[:8]}", 1, {"retention.ms": "-1", "message.timestamp.type": time_type}
    )
    partition = Partition(topic.name, 0)
    await transactions(partition, rounds=6)
    end = (await cluster.source.range(partition)).end
    expected = await consumed(partition, end)
    assert 20 < len(expected) < 72, "some are aborted, some are not"
    for max_records in (1, 7, 1000):
        assert await paged(cluster, partition, end, max_records) == expected, f"seed {SEED}"
