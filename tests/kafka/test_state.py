"""The state store on its topic: groups, size limits, and what another opening finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from gateway.kafka import KafkaConfig
from gateway.kafka.client import Client
from gateway.kafka.errors import StateNotCompacted
from gateway.kafka.offsets import log_range
from gateway.kafka.scan import scan
from gateway.kafka.state import open_store
from gateway.kafka.topics import KafkaTopics
from mesh.cluster_errors import BatchRefused
from mesh.ids import Partition
from tests.support.brokers import Broker, shared_broker

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def broker() -> Broker:
    return shared_broker()


@asynccontextmanager
async def _client(broker: Broker) -> AsyncIterator[Client]:
    async with asyncio.TaskGroup() as tasks:
        client = Client(KafkaConfig(bootstrap=(broker.address,)), None, tasks)
        await client.start()
        yield client
        client.close()


@pytest.fixture
def topic() -> str:
    return f"_mesh.test-{uuid4().hex[:8]}"


async def test_what_waits_is_stored_in_one_batch_and_found_again(broker: Broker, topic: str) -> None:
    async with _client(broker) as client:
        store = await open_store(client, topic, 3)
        await asyncio.gather(*[store.put({f"lane/a/{number % 100}": b"%d" % number}) for number in range(2000)])
        expected = {f"lane/a/{number % 100}": b"%d" % number for number in range(1900, 2000)}
        assert await store.load("lane/a/") == expected
        heads = await _heads(client, topic)
        assert sum(heads) <= 2
    async with _client(broker) as client:
        again = await open_store(client, topic, 3)
        assert await again.load("lane/") == expected
        await again.put({"lane/a/7": None, "lane/a/8": b""})
    async with _client(broker) as client:
        last = await (await open_store(client, topic, 3)).load("lane/a/")
        assert "lane/a/7" not in last
        assert last["lane/a/8"] == b""


async def _heads(client: Client, topic: str) -> list[int]:
    """How many batches each partition holds."""
    counts = []
    for number in range(3):
        partition = Partition(topic, number)
        where = await log_range(client, partition, 5)
        counts.append(len([header async for header, _ in scan(client, partition, where.start, where.end)]))
    return counts


async def test_a_put_that_the_topic_will_not_take_fails_alone(broker: Broker, topic: str) -> None:
    async with _client(broker) as client:
        store = await open_store(client, topic, 1)
        huge = {"lane/a/huge": bytes(9 << 20)}
        puts = [store.put({"lane/a/1": b"1"}), store.put(huge), store.put({"lane/a/2": b"2"})]
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), BatchRefused, type(None)]
        assert await store.load("lane/") == {"lane/a/1": b"1", "lane/a/2": b"2"}
        large = {f"lane/a/{number}": bytes(1 << 20) for number in range(6)}
        await store.put(large)
        assert await store.load("lane/") == large


async def test_a_topic_that_forgets_is_not_used(broker: Broker) -> None:
    async with _client(broker) as client:
        name = f"state-{uuid4().hex[:8]}"
        await KafkaTopics(client).create(name, 1, {"cleanup.policy": "compact,delete"})
        with pytest.raises(StateNotCompacted, match=r"cleanup\.policy compact,delete"):
            await open_store(client, name, 1)
