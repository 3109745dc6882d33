"""The kinds of source topics: how each is made, what it holds before the mirror begins, and what comes while it runs.

One topic of each kind is filled once; every fault then has a mirror of its own of it. `Writers` are stock clients.
Live traffic comes in three stages of a fault: before it, during it and after it.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from tests.support.organization import wait_for

NOW_MS = int(time.time() * 1000)
DAY_MS = 86_400_000
SETTLE_S = 60
EARLIEST = "earliest"


class Stage(Enum):
    """Of a fault; writers know no more of it."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Writers:
    """Stock producers of one cluster, made when first asked for and kept: they must survive its restart."""

    def __init__(self, address: str, data: Path) -> None:
        self.address = address
        self.data = data
        """Where the broker keeps its segments."""
        self.chance = random.Random(7)
        self._kept: dict[str, Producer] = {}
        self.open_transactions = 0

    def producer(self, name: str, **settings: Any) -> Producer:
        if name not in self._kept:
            common = {"bootstrap.servers": self.address, "enable.idempotence": True, "linger.ms": 5, "log_level": 2}
            common |= {"transaction.timeout.ms": 300_000} if "transactional.id" in settings else {}
            self._kept[name] = Producer(common | settings)
            if "transactional.id" in settings:
                self._kept[name].init_transactions(SETTLE_S)
        return self._kept[name]

    def transactional(self, name: str) -> Producer:
        return self.producer(name, **{"transactional.id": name})

    def value(self, at: int, most: int = 2000) -> bytes:
        return b"%d:" % at + self.chance.randbytes(self.chance.randrange(most) // 2).hex().encode()

    def write(self, producer: Producer, topic: str, count: int, partitions: int = 1, most: int = 2000) -> None:
        """Ordinary records, keys and headers in some of them, timestamps that are not in order."""
        for at in range(count):
            key = None if at % 3 == 0 else b"key-%d" % (at % 97)
            headers = [("trace", b"%d" % at), ("kind", b"x")] if at % 5 == 0 else []
            timestamp = NOW_MS + at - at % 7 * 1000
            send(producer, topic, self.value(at, most), key, at % partitions, headers=headers, timestamp=timestamp)
        flush(producer)


def send(producer: Producer, topic: str, value: bytes | None, key: bytes | None, partition: int, **more: Any) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition, **more)
            return
        except BufferError:
            producer.poll(0.1)


def flush(producer: Producer) -> None:
    left = producer.flush(SETTLE_S)
    assert left == 0, f"{left} records could not be written"


@dataclass(frozen=True)
class Kind:
    """`name` is the row of the matrix and the topic. `hole` is the gap reason of offsets that no reader sees."""

    name: str
    fill: Callable[[Writers, str], None]
    live: Callable[[Writers, str, Stage], None]
    partitions: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    hole: str = "marker"

    def start(self, writers: Writers) -> str:
        """Where its lanes begin, for `--from`."""
        return _starts.get(self.name, EARLIEST)


_starts: dict[str, str] = {}


def create(address: str, kinds: list[Kind], brokers: int) -> None:
    """On all brokers, each led by the first: whoever kills that one strikes all of them."""
    admin = AdminClient({"bootstrap.servers": address})
    replicas = list(range(1, brokers + 1))
    topics = [
        NewTopic(
            each.name,
            each.partitions,
            replica_assignment=[replicas] * each.partitions,
            config={"retention.ms": "-1"} | each.settings,
        )
        for each in kinds
    ]
    for made in admin.create_topics(topics).values():
        made.result(30)


# --- plain topics of each codec


def codec(name: str) -> Kind:
    def write(writers: Writers, topic: str, count: int) -> None:
        writers.write(writers.producer(name, **{"compression.type": name}), topic, count, 2)

    return Kind(
        f"codec-{name}",
        lambda writers, topic: write(writers, topic, 1500),
        lambda writers, topic, stage: write(writers, topic, 60),
        partitions=2,
    )


# --- transactions


def fill_transactions(writers: Writers, topic: str) -> None:
    """Sixty of two producers whose records lie among each other; every tenth aborts."""
    _transactions(writers, topic, 60)


def _transactions(writers: Writers, topic: str, count: int) -> None:
    pair = [writers.transactional("left"), writers.transactional("right")]
    for first in range(0, count, 2):
        for producer in pair:
            producer.begin_transaction()
        for _ in range(2):
            for producer in pair:
                writers.write(producer, topic, 12, most=300)
        for number, producer in enumerate(pair):
            _end(producer, commit=(first + number) % 10 != 9)


def _end(producer: Producer, *, commit: bool) -> None:
    if commit:
        producer.commit_transaction(SETTLE_S)
    else:
        producer.abort_transaction(SETTLE_S)


def live_transactions(writers: Writers, topic: str, stage: Stage) -> None:
    """One transaction is open from before the fault until after it: what is committed meanwhile must wait for it."""
    holder = writers.transactional("holder")
    if stage is Stage.BEFORE:
        holder.begin_transaction()
        writers.write(holder, topic, 15)
    _transactions(writers, topic, 10)
    if stage is Stage.AFTER:
        writers.open_transactions += 1
        _end(holder, commit=writers.open_transactions % 2 == 0)
        _transactions(writers, topic, 2)


def fill_midway(writers: Writers, topic: str) -> None:
    """The lane begins within a transaction that was begun before, goes on beside others, and aborts."""
    offsets: list[int] = []

    def delivered(error: object, message: Message) -> None:
        assert error is None, error
        offsets.append(message.offset() or 0)

    _transactions(writers, topic, 4)
    holder = writers.transactional("midway")
    holder.begin_transaction()
    for at in range(40):
        holder.produce(topic, writers.value(at), b"open", 0, on_delivery=delivered)
    flush(holder)
    _starts[topic] = f"offset:{offsets[20]}"
    _transactions(writers, topic, 6)
    writers.write(holder, topic, 20)
    _end(holder, commit=False)
    _transactions(writers, topic, 20)


# --- compaction


def fill_compacted(writers: Writers, topic: str) -> None:
    """Holes, tombstones and a batch whose records are all gone, made by the real cleaner; then it is turned off."""
    first, second, third = (writers.producer(f"compacted-{n}") for n in range(3))
    for at in range(400):
        send(first, topic, writers.value(at), b"key-%d" % (at % 150 if at < 380 else at - 380), 0)
        if at % 20 == 19:
            flush(first)
    for at in range(300):
        value = None if at % 10 == 0 else writers.value(at)
        send(second, topic, value, b"key-%d" % (at if at < 20 else writers.chance.randrange(150)), 0)
        if at % 30 == 29:
            flush(second)
    for at in range(40):
        send(third, topic, writers.value(at), b"later-%d" % at, 0)
    flush(third)

    def cleaned() -> bool:
        # a segment is closed by what comes after it, and only closed ones are cleaned
        send(third, topic, b"roll", b"roll-%d" % random.randrange(8), 0)
        flush(third)
        batches = list(batches_of(writers.data, topic))
        return any(count == 0 for count, _ in batches) and sum(0 < count < span for count, span in batches) > 5

    wait_for("the log cleaner to leave holes and an empty batch", cleaned, 20)
    end_compaction(writers.address, topic)


def end_compaction(address: str, topic: str) -> None:
    """From now on the log stays as it is: a mirror and its judge must see the same one."""
    change = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    admin = AdminClient({"bootstrap.servers": address})  # ends what it asked for when nobody holds it
    admin.incremental_alter_configs([resource])[resource].result(30)


def batches_of(data: Path, topic: str) -> Iterator[tuple[int, int]]:
    """Record count and offset span of each batch in the segment files."""
    for segment in sorted((data / f"{topic}-0").glob("*.log")):
        try:
            at, content = 0, segment.read_bytes()
        except FileNotFoundError:  # the cleaner has put another in its place
            continue
        while at + 61 <= len(content):
            (length,) = struct.unpack_from(">i", content, at + 8)
            (last_delta,) = struct.unpack_from(">i", content, at + 23)
            (count,) = struct.unpack_from(">i", content, at + 57)
            if length <= 0:
                break
            yield count, last_delta + 1
            at += 12 + length


def live_keyed(writers: Writers, topic: str, stage: Stage) -> None:
    producer = writers.producer("compacted-2")
    for at in range(60):
        send(producer, topic, None if at % 7 == 0 else writers.value(at), b"key-%d" % (at % 20), 0)
    flush(producer)


# --- batches of every size, and what records may be


def huge(writers: Writers, topic: str, rounds: int) -> None:
    """Batches near two megabytes, of one record and of twenty, and one of ten thousand records."""
    large = {"message.max.bytes": 2_000_000, "batch.size": 1_900_000, "linger.ms": 200, "batch.num.messages": 20_000}
    producer = writers.producer("huge", **large)
    for _ in range(rounds):
        for size in (1_990_000, *([90_000] * 20)):
            send(producer, topic, writers.chance.randbytes(size), None, 0, timestamp=NOW_MS)
        flush(producer)
    many = writers.producer("many-in-one", **large, **{"compression.type": "lz4"})
    for at in range(10_000 if rounds > 1 else 1000):
        send(many, topic, b"%d" % at, b"k", 0, timestamp=NOW_MS + at)
    flush(many)


def single(writers: Writers, topic: str, count: int) -> None:
    producer = writers.producer("single", **{"batch.num.messages": 1, "linger.ms": 0})
    writers.write(producer, topic, count, most=100)


def append_time(writers: Writers, topic: str, count: int) -> None:
    writers.write(writers.producer("append-time", **{"compression.type": "lz4"}), topic, count)


def partitions(writers: Writers, topic: str, count: int) -> None:
    writers.write(writers.producer("partitions"), topic, count * PARTITIONS, PARTITIONS, most=200)


def exotic(writers: Writers, topic: str, rounds: int) -> None:
    """By aiokafka, which sends what librdkafka refuses: negative times, and zero as a time."""

    async def write() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=writers.address, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            for at, record in enumerate(records * rounds):
                value, key, headers, timestamp = record
                await producer.send(topic, value, key, 0, timestamp_ms=timestamp, headers=headers)
                if at % 9 == 0:
                    await producer.flush()
            await producer.flush()
        finally:
            await producer.stop()

    times = [-1, 0, 1, -5000, NOW_MS - 20 * 365 * DAY_MS, NOW_MS - 2 * DAY_MS, NOW_MS, NOW_MS + 600_000]
    values = [None, b"", b"\x00", b"v" * 3000]
    keys = [None, b"", b"k", bytes(range(256))]
    headers: list[list[tuple[str, bytes | None]]] = [
        [],
        [("a", b"1"), ("a", b"2"), ("a", b"1")],
        [("", b""), ("empty", b""), ("null", None)],
        [("größe-✓", b"\xff\xfe"), *((f"h{n}", b"x" * n) for n in range(200))],
    ]
    records = [
        (values[at % 4], keys[at // 4 % 4], headers[at // 16 % 4], times[(at + at // 8) % 8])
        for at in range(64)
        if values[at % 4] is not None or keys[at // 4 % 4] is not None
    ]
    asyncio.run(write())


PARTITIONS = int(os.environ.get("MATRIX_PARTITIONS", "64"))

KINDS = [
    *(codec(name) for name in ("none", "gzip", "snappy", "lz4", "zstd")),
    Kind("transactional", fill_transactions, live_transactions),
    Kind("open-transaction", fill_midway, lambda writers, topic, stage: _transactions(writers, topic, 4)),
    Kind(
        "compacted",
        fill_compacted,
        live_keyed,
        settings={"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"},
        hole="compacted",
    ),
    Kind(
        "append-time",
        lambda writers, topic: append_time(writers, topic, 1000),
        lambda writers, topic, stage: append_time(writers, topic, 50),
        settings={"message.timestamp.type": "LogAppendTime"},
    ),
    Kind(
        "huge-batches",
        lambda writers, topic: huge(writers, topic, 3),
        lambda writers, topic, stage: huge(writers, topic, 1),
        settings={"max.message.bytes": "2000000"},
    ),
    Kind(
        "one-record-batches",
        lambda writers, topic: single(writers, topic, 600),
        lambda writers, topic, stage: single(writers, topic, 50),
    ),
    Kind(
        "exotic-records",
        lambda writers, topic: exotic(writers, topic, 4),
        lambda writers, topic, stage: exotic(writers, topic, 1),
    ),
    Kind(
        "many-partitions",
        lambda writers, topic: partitions(writers, topic, 20),
        lambda writers, topic, stage: partitions(writers, topic, 2),
        partitions=PARTITIONS,
    ),
]
