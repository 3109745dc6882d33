"""Whole logs as stock clients see them: confluent-kafka and aiokafka, two other implementations of Kafka's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.matrix.judge import Log, Seen

Place = tuple[str, int]
SILENCE_S = 30


def with_confluent(address: str, starts: Mapping[Place, int], isolation: str) -> dict[Place, Log]:
    """Each partition from its start (or its log start, where that is later) up to the end."""
    settings = {
        "bootstrap.servers": address,
        "group.id": uuid4().hex,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": isolation,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 20,
        "log_level": 2,
        "topic.metadata.refresh.interval.ms": -1,
    }
    consumer = Consumer(settings)
    records: dict[Place, list[Seen]] = {place: [] for place in starts}
    waiting = set(starts)
    try:
        consumer.assign([TopicPartition(*place, start) for place, start in starts.items()])
        while waiting:
            messages = consumer.consume(10_000, 0.2)
            for message in messages:
                place = (message.topic() or "", message.partition() or 0)
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(place)
                    continue
                assert error is None, error
                headers = tuple(message.headers() or ())
                digest = hash((message.key(), message.value(), headers, message.timestamp()[1]))
                records[place].append(Seen(message.offset() or 0, digest))
        logs = {}
        for place, start in starts.items():
            low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=SILENCE_S)
            logs[place] = Log(max(low, start), high, records[place])
        return logs
    finally:
        consumer.close()


async def with_aiokafka(address: str, places: list[Place]) -> dict[Place, Log]:
    """The same for dense logs, read uncommitted, from their beginning."""
    partitions = [AioPartition(*place) for place in places]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_uncommitted", max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=20,
    )  # fmt: skip
    await consumer.start()
    try:
        consumer.assign(partitions)
        starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        for each in partitions:
            consumer.seek(each, starts[each])
        records: dict[AioPartition, list[Seen]] = {each: [] for each in partitions}
        waiting = {each for each in partitions if ends[each] > starts[each]}
        while waiting:
            answer = await consumer.getmany(timeout_ms=SILENCE_S * 1000)
            assert answer, f"nothing comes of {waiting}"
            for partition, found in answer.items():
                records[partition] += [
                    Seen(each.offset, hash((each.key, each.value, tuple(each.headers), each.timestamp)))
                    for each in found
                ]
            waiting = {each for each in waiting if await consumer.position(each) < ends[each]}
        return {(each.topic, each.partition): Log(starts[each], ends[each], records[each]) for each in partitions}
    finally:
        await consumer.stop()
