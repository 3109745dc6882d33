"""What we accept of a partner a real broker takes, and stock clients read it as we do.

FUZZ_BATCHES (300) mutants that pass our checks are appended as the importer appends them, then read by librdkafka and
by aiokafka.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Consumer, TopicPartition

from gateway.offers import ANY_TIMESTAMP
from mesh.batch.stamp import next_sequence, restamp
from mesh.batch.validate import validate
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.ports import Cluster
from tests.fuzz.campaign import mutant
from tests.fuzz.reading import LIMITS, Read, read_ours
from tests.fuzz.targets import TARGETS
from tests.support.brokers import open_cluster, shared_broker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

BATCHES = int(os.environ.get("FUZZ_BATCHES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
TOPIC = "fuzzed"
PATIENCE_S = 60.0

Record: TypeAlias = tuple[int, int, bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]
Refused: TypeAlias = list[tuple[int, str, bytes]]
"""The mutant's number, what the broker said, the mutant."""


def accepted() -> Iterator[tuple[int, bytes]]:
    """Mutants that pass the checks, by their numbers."""
    target, left = TARGETS["batch"], BATCHES
    for number in count():
        if not left:
            return
        data = mutant(target, SEED, number)
        try:
            validate(memoryview(data), LIMITS)
        except MeshError:
            continue
        left -= 1
        yield number, data


async def test_what_is_accepted_is_taken_by_a_broker_and_read_by_stock_clients() -> None:
    async with open_cluster() as cluster:
        await cluster.topics.create(TOPIC, 1, {"retention.ms": "-1", **ANY_TIMESTAMP})
        written, refused = await appended(cluster)
    assert not refused, f"a broker refuses what we accept: {Counter(why for _, why, _ in refused)} {refused[:3]}"
    assert len(written) >= BATCHES
    found = await asyncio.to_thread(by_librdkafka, len(written))
    assert_same("librdkafka", found, [as_c_strings(each) for each in written])
    assert_same("aiokafka", await by_aiokafka(len(written)), written)


async def appended(cluster: Cluster) -> tuple[Read, Refused]:
    """What must be read of the partition, and what the broker did not take."""
    producer = await cluster.destination.producer()
    written: Read = []
    refused: Refused = []
    sequence = 0
    for number, data in accepted():
        stamped = restamp(data, producer, sequence)
        try:
            base = await cluster.destination.append(Partition(TOPIC, 0), stamped)
        except MeshError as error:
            refused.append((number, f"{error.code}: {error}", data))
            continue
        assert base == len(written)
        sequence = next_sequence(sequence, stamped.count)
        written += [(base + offset, *rest) for offset, *rest in read_ours(data)]  # type: ignore[misc]
    return written, refused


def by_librdkafka(records: int) -> Read:
    consumer = Consumer(
        {
            "bootstrap.servers": shared_broker().address,
            "group.id": f"fuzz-{uuid4()}",
            "enable.auto.commit": False,
            "check.crcs": True,
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    found: Read = []
    try:
        while len(found) < records:
            messages = consumer.consume(records - len(found), timeout=PATIENCE_S)
            assert messages, f"nothing came after record {len(found)} of {records}"
            for each in messages:
                assert each.error() is None, (each.error(), len(found))
                given: Any = each.headers() or []
                headers = [(name.encode(), value) for name, value in given]
                found.append((each.offset() or 0, each.timestamp()[1], each.key(), each.value(), headers))
    finally:
        consumer.close()
    return found


async def by_aiokafka(records: int) -> Read:
    consumer = AIOKafkaConsumer(bootstrap_servers=shared_broker().address, check_crcs=True, enable_auto_commit=False)
    await consumer.start()
    found: Read = []
    try:
        partition = AioPartition(TOPIC, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < records:
                for each in (await consumer.getmany(partition, timeout_ms=1000)).get(partition, ()):
                    headers = [(name.encode(), value) for name, value in each.headers]
                    found.append((each.offset, each.timestamp, each.key, each.value, headers))
    finally:
        await consumer.stop()
    return found


def as_c_strings(record: Record) -> Record:
    """librdkafka ends the name of a header at its first NUL, at the source as at the copy."""
    *rest, headers = record
    return (*rest, [(name.partition(b"\0")[0], value) for name, value in headers])  # type: ignore[return-value]


def assert_same(name: str, found: Read, written: Read) -> None:
    for theirs, ours in zip(found, written, strict=True):
        # a record without a timestamp is -1 to us, None to aiokafka, and whatever is negative is "none" to librdkafka
        stamp, expected = theirs[1], ours[1]
        same_time = stamp == expected or (expected < 0 and stamp in (None, 0, -1))
        assert same_time, f"{name} reads the timestamp {stamp} at {ours[0]}, which is {expected}"
        assert (theirs[0], *theirs[2:]) == (ours[0], *ours[2:]), f"{name} reads otherwise at {ours[0]}"
