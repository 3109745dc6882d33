"""A cluster of three loses the leader of a partition: readers and writers find the next one by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from gateway.kafka import KafkaConfig, open_kafka
from mesh.batch.stamp import Producer, StampedBatch
from mesh.errors import NetworkError
from mesh.ids import Partition
from mesh.ports import Cluster
from tests.support.batches import numbered, records_in, stamped
from tests.support.brokers import Broker, several_brokers

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TOTAL = 600
PARTITIONS = 3


@pytest.fixture
def brokers() -> Iterator[list[Broker]]:
    with several_brokers(3) as brokers:
        yield brokers


def _batch(producer: Producer, sequence: int) -> StampedBatch:
    return stamped(producer, sequence, numbered(sequence), [int(time.time() * 1000)])


async def _write(cluster: Cluster, partition: Partition, producer: Producer, progress: asyncio.Event) -> int:
    """As a lane does: append, and after a failure ask the log before anything else. Answers how often it had to."""
    position = failures = 0
    while position < TOTAL:
        batches = [_batch(producer, position + ahead) for ahead in range(min(5, TOTAL - position))]
        appends = [cluster.destination.append(partition, batch) for batch in batches]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        if all(isinstance(outcome, int) for outcome in outcomes):
            assert list(outcomes) == list(range(position, position + len(batches)))
            position += len(batches)
        else:
            assert all(isinstance(outcome, int | NetworkError) for outcome in outcomes), outcomes
            failures += 1
            witnesses = await cluster.destination.witness(partition, producer, position)
            assert witnesses.foreign_count == 0
            assert witnesses.last_sequence in {None, witnesses.range.end - 1}
            position = witnesses.range.end
        if position > TOTAL // 3:
            progress.set()
    return failures


async def _read(cluster: Cluster, partition: Partition) -> list[bytes]:
    found: list[tuple[int, bytes]] = []
    while len(found) < TOTAL:
        found += records_in((await cluster.source.fetch(partition, len(found), None, 1 << 20, 2)).data)
    assert [offset for offset, _ in found] == list(range(TOTAL))
    return [value for _, value in found]


async def test_the_death_of_a_leader_costs_no_record_and_doubles_none(brokers: list[Broker]) -> None:
    config = KafkaConfig(bootstrap=tuple(broker.address for broker in brokers), request_timeout_s=30)
    async with open_kafka(config) as cluster:
        topic = await cluster.topics.create("elected", PARTITIONS, {"retention.ms": "-1"})
        places = [Partition(topic.name, number) for number in range(PARTITIONS)]
        progress = [asyncio.Event() for _ in places]
        async with asyncio.TaskGroup() as group:
            writers = [
                group.create_task(_write(cluster, place, await cluster.destination.producer(), event))
                for place, event in zip(places, progress, strict=True)
            ]
            readers = [group.create_task(_read(cluster, place)) for place in places]
            await asyncio.gather(*[event.wait() for event in progress])
            await asyncio.to_thread(brokers[0].kill)
        assert all(reader.result() == numbered(*range(TOTAL)) for reader in readers)
        assert all(writer.done() for writer in writers)
        await cluster.control.put({"test/elected": b"stored"})
        assert await cluster.control.load("test/") == {"test/elected": b"stored"}
