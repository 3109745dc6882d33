"""Stock Kafka clients at both ends of a scenario: one producer, two consumers, and a digest of each record.

A record's digest covers key, value, headers and timestamp; it is Python's own hash, so it holds within one process
only. Digests stand per partition in the order of offsets, which is all that a copy must equal.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

Key = tuple[str, int]
Digests = dict[Key, "array[int]"]
"""By topic and partition."""

BLOCK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Load:
    """What goes into one topic. `sizes` are (value size in bytes, how many of a hundred records)."""

    topic: str
    partitions: int
    codec: str
    records: int
    sizes: Sequence[tuple[int, int]]
    first_timestamp_ms: int
    append_time: bool = False
    """The broker stamps the records; what it stamped is to be read back from it."""


def create_topics(address: str, loads: Sequence[Load]) -> None:
    """With retention off: what carries old timestamps must not be taken away."""
    topics = [NewTopic(load.topic, load.partitions, 1, config=_settings(load)) for load in loads]
    admin = AdminClient({"bootstrap.servers": address})  # ends what it asked for when nobody holds it
    for made in admin.create_topics(topics).values():
        made.result(30)


def _settings(load: Load) -> dict[str, str]:
    return {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime" if load.append_time else "CreateTime"}


def produce(address: str, load: Load, seed: int) -> Digests:
    """Write `load` in order per partition; the digests of what was written."""
    chance = random.Random(f"{seed}/{load.topic}")
    block = chance.randbytes(BLOCK_BYTES // 4).hex().encode() * 2
    sizes = [size for size, share in load.sizes for _ in range(share)]
    written: Digests = {(load.topic, number): array("q") for number in range(load.partitions)}
    settings = {"compression.type": load.codec, "enable.idempotence": True, "linger.ms": 20, "batch.size": 200_000}
    settings |= {"bootstrap.servers": address, "queue.buffering.max.messages": 200_000}
    producer = Producer(settings)
    for at in range(load.records):
        start = chance.randrange(BLOCK_BYTES // 2)
        value = None if at % 17 == 0 else b"%d:" % at + block[start : start + sizes[chance.randrange(100)]]
        key = None if at % 3 == 0 else b"key-%d" % (at % 9973)
        headers: list[tuple[str, str | bytes | None]] = []
        if at % 5 == 0:
            headers = [("trace", b"%d" % at), ("trace", None), ("kind", b"")]
        timestamp_ms = load.first_timestamp_ms + at - at % 7 * 1000
        number = chance.randrange(load.partitions)
        while True:
            try:
                producer.produce(load.topic, value, key, number, headers=headers, timestamp=timestamp_ms)
                break
            except BufferError:
                producer.poll(0.1)
        written[load.topic, number].append(hash((key, value, tuple(headers), timestamp_ms)))
    assert producer.flush(60) == 0
    return written


def read_with_confluent(address: str, counts: dict[Key, int]) -> Digests:
    """The first `counts` records of each partition, read uncommitted; every offset must be the next one."""
    settings = {"bootstrap.servers": address, "group.id": uuid4().hex, "enable.auto.commit": False}
    settings |= {
        "isolation.level": "read_uncommitted",
        "fetch.max.bytes": 16 << 20,
        "queued.max.messages.kbytes": 65536,
    }
    consumer = Consumer(settings)
    found: Digests = {key: array("q") for key in counts}
    left = sum(counts.values())
    try:
        consumer.assign([TopicPartition(topic, number, 0) for topic, number in counts])
        while left:
            messages = consumer.consume(min(10_000, left), 30)  # it waits for that many
            assert messages, f"{left} records are missing"
            for message in messages:
                assert message.error() is None, message.error()
                digests = found[message.topic() or "", message.partition() or 0]
                assert message.offset() == len(digests)
                headers = tuple(message.headers() or ())
                digests.append(hash((message.key(), message.value(), headers, message.timestamp()[1])))
            left -= len(messages)
        for topic, number in counts:
            assert consumer.get_watermark_offsets(TopicPartition(topic, number))[1] == counts[topic, number]
    finally:
        consumer.close()
    return found


def read_with_aiokafka(address: str, counts: dict[Key, int]) -> Digests:
    """As `read_with_confluent`, by an independent implementation of the protocol."""
    return asyncio.run(_read_with_aiokafka(address, counts))


async def _read_with_aiokafka(address: str, counts: dict[Key, int]) -> Digests:
    found: Digests = {key: array("q") for key in counts}
    partitions = [AioPartition(*key) for key in counts]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_uncommitted", max_partition_fetch_bytes=4 << 20
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        left = sum(counts.values())
        while left:
            answer = await consumer.getmany(timeout_ms=30_000)
            assert answer, f"{left} records are missing"
            for partition, records in answer.items():
                digests = found[partition.topic, partition.partition]
                for record in records:
                    assert record.offset == len(digests)
                    digests.append(hash((record.key, record.value, record.headers, record.timestamp)))
                left -= len(records)
    finally:
        await consumer.stop()
    return found
