"""The strict cut on a broker: what it leaves in the log, and where the coordinator has forgotten the lane's name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from mesh.batch.header import split
from mesh.cluster_errors import ProducerFenced
from mesh.ids import Partition
from mesh.ports import Cluster
from tests.support.batches import numbered, stamped
from tests.support.brokers import open_cluster

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with open_cluster() as cluster:
        yield cluster


@pytest.fixture
async def partition(cluster: Cluster) -> Partition:
    topic = await cluster.topics.create(f"cut-{uuid4().hex[:8]}", 1, {"retention.ms": "-1"})
    return Partition(topic.name, 0)


async def test_a_cut_writes_one_marker_and_nothing_that_a_reader_sees(cluster: Cluster, partition: Partition) -> None:
    name = f"mesh.{partition.topic}"
    producer = await cluster.destination.producer(name)
    await cluster.destination.append(partition, stamped(producer, 0, numbered(0, 1)))
    newer = await cluster.destination.cut(name, producer, [partition])
    fetched = await cluster.source.fetch(partition, 2, None, 1 << 20, 5)
    ((header, _),) = split(fetched.data)
    assert (header.base_offset, header.is_control, producer.epoch < header.producer_epoch < newer.epoch) == (
        2,
        True,
        True,
    )
    assert fetched.aborted == ()
    assert fetched.range == (0, 3, 3)


async def test_a_name_that_the_coordinator_forgot_is_cut_at_the_leaders(cluster: Cluster, partition: Partition) -> None:
    producer = await cluster.destination.producer(f"mesh.{partition.topic}")
    await cluster.destination.append(partition, stamped(producer, 0, numbered(0)))
    # another name stands for the forgotten one: the coordinator answers with another producer id in both cases
    for _ in range(2):
        newer = await cluster.destination.cut(f"mesh.{partition.topic}.forgotten", producer, [partition])
        assert newer.id == producer.id
        with pytest.raises(ProducerFenced):
            await cluster.destination.append(partition, stamped(producer, 1, numbered(1)))
    assert await cluster.destination.append(partition, stamped(newer, 0, numbered(2))) == 3
