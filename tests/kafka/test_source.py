"""What Kafka's own log holds comes out as it lies there: aborted transactions, append times, holes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from statistics import median
from uuid import uuid4

import pytest
import uvloop
from aiokafka import AIOKafkaProducer

from mesh.batch.encode import encode
from mesh.batch.header import BatchHeader, split
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import restamp
from mesh.ids import Partition
from mesh.log import AbortedTransaction
from mesh.ports import Cluster
from tests.support.batches import numbered, stamped
from tests.support.brokers import open_cluster, shared_broker

pytestmark = pytest.mark.kafka

KEEP = {"retention.ms": "-1"}
ENOUGH = 1 << 20


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with open_cluster() as cluster:
        yield cluster


async def _partition(cluster: Cluster, config: dict[str, str] = KEEP, partitions: int = 1) -> Partition:
    topic = await cluster.topics.create(f"source-{uuid4().hex[:8]}", partitions, config)
    return Partition(topic.name, 0)


def _headers(data: memoryview) -> list[BatchHeader]:
    return [header for header, _ in split(data)]


async def test_aborted_transactions_come_with_the_list_that_names_them(cluster: Cluster) -> None:
    partition = await _partition(cluster)
    producer = AIOKafkaProducer(
        bootstrap_servers=shared_broker().address, transactional_id=f"t-{uuid4().hex}", enable_idempotence=True
    )
    await producer.start()
    try:
        for word, commit in ((b"kept", True), (b"dropped", False), (b"kept too", True)):
            await producer.begin_transaction()
            await producer.send_and_wait(partition.topic, word, partition=0)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        await producer.begin_transaction()
        await producer.send_and_wait(partition.topic, b"undecided", partition=0)
        fetched = await cluster.source.fetch(partition, 0, None, ENOUGH, 5)
        where = await cluster.source.range(partition)
        await producer.commit_transaction()
    finally:
        await producer.stop()
    headers = _headers(fetched.data)
    assert [header.is_control for header in headers] == [False, True] * 3
    assert fetched.aborted == (AbortedTransaction(headers[2].producer_id, 2),)
    assert fetched.range == where == (0, 7, 6)
    # what is undecided is not seen, so a reader that has come up to it waits
    assert headers[-1].next_offset == 6


async def test_append_times_and_their_flag_come_as_they_lie(cluster: Cluster) -> None:
    partition = await _partition(cluster, {**KEEP, "message.timestamp.type": "LogAppendTime"})
    began_ms = int(time.time() * 1000)
    await cluster.destination.append(partition, stamped(await cluster.destination.producer(), 0, numbered(1, 2)))
    (header,) = _headers((await cluster.source.fetch(partition, 0, None, ENOUGH, 5)).data)
    assert header.is_log_append_time
    assert header.max_timestamp_ms >= began_ms


async def test_holes_of_compaction_come_as_they_lie(cluster: Cluster) -> None:
    config = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    partition = await _partition(cluster, config)
    producer, sequence = await cluster.destination.producer(), 0
    async with asyncio.timeout(30):
        while True:
            now_ms = int(time.time() * 1000)
            records = [Record(at, now_ms, b"k%d" % (at % 2), b"%d" % sequence) for at in range(4)]
            await cluster.destination.append(partition, restamp(encode(records), producer, sequence))
            sequence += 4
            fetched = await cluster.source.fetch(partition, 0, None, ENOUGH, 5)
            if any(header.records_count < 4 for header in _headers(fetched.data)):
                break
    batches = [*split(fetched.data)]
    assert all(header.last_offset_delta == 3 for header, _ in batches)
    header, batch = next((header, batch) for header, batch in batches if header.records_count < 4)
    assert len([*records_of(header, batch[61:])]) == header.records_count


async def test_lanes_that_wait_do_not_hold_up_another(cluster: Cluster) -> None:
    partition = await _partition(cluster, partitions=40)
    idle = [Partition(partition.topic, number) for number in range(1, 40)]
    producer = await cluster.destination.producer()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(cluster.source.fetch(place, 0, None, ENOUGH, 30)) for place in idle]
        await asyncio.wait(waiting, timeout=0.3)
        took_s = []
        for sequence in range(50):
            await cluster.destination.append(partition, stamped(producer, sequence, numbered(sequence)))
            began = time.monotonic()
            fetched = await cluster.source.fetch(partition, sequence, None, ENOUGH, 30)
            took_s.append(time.monotonic() - began)
            assert _headers(fetched.data)[0].base_offset == sequence
        assert median(took_s) < 0.2  # one may be slow for reasons of the machine, not most of them
        assert not any(task.done() for task in waiting)
        # and each of those is answered when its data comes
        place = idle[7]
        await cluster.destination.append(place, stamped(producer, 0, numbered(7)))
        async with asyncio.timeout(10):
            await waiting[7]
        for task in waiting:
            task.cancel()


async def test_two_readers_of_one_partition_are_both_answered(cluster: Cluster) -> None:
    partition = await _partition(cluster)
    producer = await cluster.destination.producer()
    for sequence in range(2):
        await cluster.destination.append(partition, stamped(producer, sequence, numbered(sequence)))
    answers = await asyncio.gather(*[cluster.source.fetch(partition, at, None, ENOUGH, 5) for at in (0, 1, 1)])
    assert [_headers(answer.data)[0].base_offset for answer in answers] == [0, 1, 1]


async def test_an_answer_without_room_for_all_leaves_nobody_out(cluster: Cluster) -> None:
    partition = await _partition(cluster, {**KEEP, "max.message.bytes": str(8 << 20)}, partitions=6)
    producer = await cluster.destination.producer()
    places = [Partition(partition.topic, number) for number in range(6)]
    big = [b"x" * (3 << 20)]
    await asyncio.gather(*[cluster.destination.append(place, stamped(producer, 0, big)) for place in places])
    answers = await asyncio.gather(*[cluster.source.fetch(place, 0, None, 4 << 20, 5) for place in places])
    assert all(len(answer.data) > 3 << 20 for answer in answers)


def test_the_adapter_runs_on_uvloop() -> None:
    async def story() -> None:
        async with open_cluster() as cluster:
            partition = await _partition(cluster)
            producer = await cluster.destination.producer()
            batches = [stamped(producer, sequence, [os.urandom(100_000)]) for sequence in range(40)]
            assert await asyncio.gather(*[cluster.destination.append(partition, batch) for batch in batches]) == list(
                range(40)
            )
            offset = 0
            while offset < 40:
                fetched = await cluster.source.fetch(partition, offset, None, ENOUGH, 5)
                for header, batch in split(fetched.data):
                    assert batch[61:] == batches[header.base_offset].payload
                    offset = header.next_offset

    uvloop.run(story())
