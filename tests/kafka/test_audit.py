"""The audit log on its topic: who writes it, what survives a broker, and a topic that would forget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from gateway.kafka import KafkaConfig
from gateway.kafka.audit import CONFIG, open_audit
from gateway.kafka.client import Client
from gateway.kafka.destination import KafkaDestination
from gateway.kafka.errors import AuditNotKept
from gateway.kafka.lane_state import open_lanes
from gateway.kafka.topics import create_topic
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.batch.stamp import restamp
from mesh.cluster_errors import AuditMoved, BatchRefused, StateMoved
from mesh.ids import Partition
from tests.support.brokers import Broker

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


@asynccontextmanager
async def _client(broker: Broker) -> AsyncIterator[Client]:
    async with asyncio.TaskGroup() as tasks:
        client = Client(KafkaConfig(bootstrap=(broker.address,), request_timeout_s=20), None, tasks)
        try:
            await client.start()
            yield client
        finally:
            client.close()


@pytest.fixture
def topic() -> str:
    return f"_mesh.audit-{uuid4().hex[:8]}"


async def test_gateways_that_write_in_turn_make_one_log(broker: Broker, topic: str) -> None:
    async with _client(broker) as client, _client(broker) as another:
        one, two = await open_audit(client, topic), await open_audit(another, topic)
        for index, audit in enumerate([one, two, two, one, two]):
            await audit.append([b"%d" % index], index)
            with pytest.raises(AuditMoved):
                await (two if audit is one else one).append([b"never"], index)
        assert await one.read(0, 10) == [b"0", b"1", b"2", b"3", b"4"]


async def test_another_gateways_batch_of_the_same_size_is_not_taken_for_ours(broker: Broker, topic: str) -> None:
    """The broker answers it as a repeat, with the offset that both expect."""
    async with _client(broker) as client, _client(broker) as another:
        one, two = await open_audit(client, topic), await open_audit(another, topic)
        outcomes = await asyncio.gather(
            *[audit.append([b"%d" % number], 0) for number, audit in enumerate([one, two])], return_exceptions=True
        )
        landed = [b"%d" % number for number, outcome in enumerate(outcomes) if outcome is None]
        assert await one.read(0, 10) == landed
        assert len(landed) == 1


async def test_a_log_from_before_is_gone_on_with(broker: Broker, topic: str) -> None:
    """As earlier versions wrote it: each gateway under a producer of its own."""
    async with _client(broker) as client:
        await create_topic(client, topic, 1, CONFIG)
        destination, partition = KafkaDestination(client), Partition(topic, 0)
        for number in range(2):
            batch = encode([Record(0, 1_700_000_000_000, None, b"%d" % number)])
            await destination.append(partition, restamp(batch, await destination.producer(), 0))
        one, two = await open_audit(client, topic), await open_audit(client, topic)
        await one.append([b"2"], 2)
        with pytest.raises(AuditMoved):
            await two.append([b"never"], 2)
        await two.append([b"3"], 3)
        assert await one.read(0, 10) == [b"0", b"1", b"2", b"3"]


async def test_an_entry_that_the_topic_will_not_take_does_not_stand_in_the_way(broker: Broker, topic: str) -> None:
    async with _client(broker) as client:
        audit = await open_audit(client, topic)
        with pytest.raises(BatchRefused):
            await audit.append([bytes(2 << 20)], 0)
        await audit.append([b"a"], 0)
        assert await audit.read(0, 10) == [b"a"]


async def test_a_killed_broker_has_each_entry_once_and_still_knows_whose_turn_it_is(broker: Broker, topic: str) -> None:
    """The numbers of the producer and its epochs are ours: the broker finds them in its log."""
    state = topic.replace("audit", "lanes")
    async with _client(broker) as client:
        audit = await open_audit(client, topic)
        await audit.append([b"0"], 0)
        old, new = [await open_lanes(client, state, 1, name) for name in ("old", "new")]
        for lanes in (old, new):
            await lanes.claim([0])
        await new.put({"lane/a/t/0/x": b"new"})
        await asyncio.to_thread(broker.kill)
        async with asyncio.TaskGroup() as group:
            group.create_task(audit.append([b"1"], 1))
            group.create_task(new.put({"lane/a/t/0/y": b"new"}))
            broker.launch()
            await asyncio.to_thread(broker.wait_ready)
        with pytest.raises(StateMoved):
            await old.put({"lane/a/t/0/x": b"old"})
        with pytest.raises(AuditMoved):
            await audit.append([b"never"], 0)
        await audit.append([b"2"], 2)
        assert await audit.read(0, 10) == [b"0", b"1", b"2"]
        assert await old.load("lane/") == {"lane/a/t/0/x": b"new", "lane/a/t/0/y": b"new"}


@pytest.mark.parametrize("key", sorted(CONFIG))
async def test_a_topic_that_would_lose_entries_is_not_used(broker: Broker, topic: str, key: str) -> None:
    async with _client(broker) as client:
        wrong = {**CONFIG, key: "compact" if key == "cleanup.policy" else "1000000"}
        await create_topic(client, topic, 1, wrong)
        with pytest.raises(AuditNotKept, match=key):
            await open_audit(client, topic)
