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
from gateway.kafka.errors import AuditNotKept
from gateway.kafka.topics import create_topic
from mesh.cluster_errors import BatchRefused, ProducerFenced
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
        await client.start()
        yield client
        client.close()


@pytest.fixture
def topic() -> str:
    return f"_mesh.audit-{uuid4().hex[:8]}"


async def test_a_gateway_that_takes_the_log_over_shuts_out_the_one_before(broker: Broker, topic: str) -> None:
    async with _client(broker) as client:
        old = await open_audit(client, topic)
        await old.append([b"a", b"b"])
        new = await open_audit(client, topic)
        assert await new.end() == 2
        await new.append([b"c"])
        for _ in range(2):
            with pytest.raises(ProducerFenced):
                await old.append([b"never"])
        await new.append([b"d"])
        assert await new.read(0, 10) == [b"a", b"b", b"c", b"d"]


async def test_an_entry_that_the_topic_will_not_take_does_not_stand_in_the_way(broker: Broker, topic: str) -> None:
    async with _client(broker) as client:
        audit = await open_audit(client, topic)
        with pytest.raises(BatchRefused):
            await audit.append([bytes(2 << 20)])
        await audit.append([b"a"])
        assert await audit.read(0, 10) == [b"a"]


async def test_entries_appended_while_the_broker_is_away_are_there_once(broker: Broker, topic: str) -> None:
    async with _client(broker) as client:
        audit = await open_audit(client, topic)
        await audit.append([b"0"])
        await asyncio.to_thread(broker.kill)
        async with asyncio.TaskGroup() as group:
            for number in range(1, 4):
                group.create_task(audit.append([b"%d" % number]))
            broker.launch()
            await asyncio.to_thread(broker.wait_ready)
        assert await audit.read(0, 10) == [b"0", b"1", b"2", b"3"]
        assert await audit.end() == 4


@pytest.mark.parametrize("key", sorted(CONFIG))
async def test_a_topic_that_would_lose_entries_is_not_used(broker: Broker, topic: str, key: str) -> None:
    async with _client(broker) as client:
        wrong = {**CONFIG, key: "compact" if key == "cleanup.policy" else "1000000"}
        await create_topic(client, topic, 1, wrong)
        with pytest.raises(AuditNotKept, match=key):
            await open_audit(client, topic)
