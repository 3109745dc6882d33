"""What only real coordinators show: the fence of a commit, both protocols of groups, what a commit leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from mesh.cluster_errors import GroupNotEmpty
from mesh.groups import GroupState
from mesh.ids import GroupName, Partition
from mesh.ports import Cluster
from tests.support.brokers import open_cluster, shared_broker

pytestmark = [pytest.mark.kafka]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with open_cluster() as cluster:
        yield cluster


@pytest.fixture
async def place(cluster: Cluster) -> Partition:
    """A partition with three records."""
    topic = await cluster.topics.create(f"groups-{uuid4().hex[:12]}", 1, {"retention.ms": "-1"})
    producer = Producer({"bootstrap.servers": shared_broker().address})
    for number in range(3):
        producer.produce(topic.name, b"%d" % number, partition=0)
    assert producer.flush(30) == 0
    return Partition(topic.name, 0)


@pytest.fixture
def group() -> GroupName:
    return GroupName(f"readers-{uuid4().hex[:12]}")


def consumer(group: GroupName, **settings: object) -> Consumer:
    base = {"bootstrap.servers": shared_broker().address, "group.id": group, "enable.auto.commit": False}
    return Consumer(base | {"auto.offset.reset": "earliest"} | settings)


async def polled(reader: Consumer, until: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not until():
            await asyncio.to_thread(reader.poll, 0.1)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
async def test_a_group_with_members_is_fenced_and_an_empty_one_is_not(
    cluster: Cluster, place: Partition, group: GroupName, protocol: str
) -> None:
    reader = consumer(group, **{"group.protocol": protocol})
    assigned: list[object] = []
    reader.subscribe([place.topic], on_assign=lambda _, parts: assigned.extend(parts))
    await polled(reader, lambda: bool(assigned))
    found = await cluster.groups.describe(group, [place.topic])
    assert (found.state, found.members) == (GroupState.ACTIVE, 1)
    assert GroupState.ACTIVE in [each.state for each in await cluster.groups.list() if each.name == group]
    with pytest.raises(GroupNotEmpty):
        await cluster.groups.commit(group, {place: 2})

    await asyncio.to_thread(reader.commit, offsets=[TopicPartition(*place, 1)], asynchronous=False)
    await asyncio.to_thread(reader.close)
    found = await cluster.groups.describe(group, [place.topic])
    assert (found.state, found.members, found.positions) == (GroupState.EMPTY, 0, {place: 1})
    await cluster.groups.commit(group, {place: 2})
    again = consumer(group, **{"group.protocol": protocol, "auto.offset.reset": "error"})
    again.subscribe([place.topic])
    message = await asyncio.to_thread(again.poll, 30)
    assert message is not None
    assert (message.error(), message.offset()) == (None, 2)
    await asyncio.to_thread(again.close)


async def test_a_commit_leaves_neither_a_leader_epoch_nor_metadata(
    cluster: Cluster, place: Partition, group: GroupName
) -> None:
    reader = consumer(group)
    with_both = TopicPartition(*place, 1, "somebody's note", 0)
    await asyncio.to_thread(reader.commit, offsets=[with_both], asynchronous=False)
    (before,) = await asyncio.to_thread(reader.committed, [TopicPartition(*place)], 30)
    assert (before.metadata, before.leader_epoch) == ("somebody's note", 0)
    await cluster.groups.commit(group, {place: 2})
    (after,) = await asyncio.to_thread(reader.committed, [TopicPartition(*place)], 30)
    await asyncio.to_thread(reader.close)
    assert after.offset == 2
    assert not after.metadata
    assert after.leader_epoch in (None, -1)


async def test_a_position_that_is_part_of_an_open_transaction_is_waited_for(
    cluster: Cluster, place: Partition, group: GroupName
) -> None:
    reader = consumer(group)
    reader.subscribe([place.topic])
    await polled(reader, lambda: bool(reader.assignment()))
    producer = Producer({"bootstrap.servers": shared_broker().address, "transactional.id": uuid4().hex})
    await asyncio.to_thread(producer.init_transactions, 30)
    producer.begin_transaction()
    where = [TopicPartition(*place, 3)]
    await asyncio.to_thread(producer.send_offsets_to_transaction, where, reader.consumer_group_metadata(), 30)
    asking = asyncio.create_task(cluster.groups.describe(group, [place.topic]))
    done, _ = await asyncio.wait([asking], timeout=0.3)
    assert not done, "it may still be aborted"
    await asyncio.to_thread(producer.commit_transaction, 30)
    assert (await asking).positions == {place: 3}
    await asyncio.to_thread(reader.close)
