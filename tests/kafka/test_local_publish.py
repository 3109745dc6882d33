"""Applications publish to Kafka: through several gateways at once, and while the broker dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.kafka import KafkaConfig, open_kafka
from gateway.local.api import LocalApi
from gateway.local.values import NewRecord, PublishRequest, ReadQuery
from mesh.errors import MeshError
from tests.support.admin import admin_gateway
from tests.support.brokers import Broker, open_cluster
from tests.support.local_calls import LocalCalls, placed, values
from tests.support.local_grpc import local_grpc

pytestmark = pytest.mark.kafka

KEEP = {"retention.ms": "-1"}


@asynccontextmanager
async def gateways(directory: Path, count: int) -> AsyncIterator[tuple[list[LocalCalls], str]]:
    """Several on one cluster, and a topic of two partitions."""
    async with asyncio.TaskGroup() as group:
        stop = asyncio.Event()
        found: list[asyncio.Future[LocalCalls]] = [asyncio.get_running_loop().create_future() for _ in range(count)]

        async def run(number: int) -> None:
            home = directory / str(number)
            home.mkdir()
            async with open_cluster() as cluster, local_grpc(home, cluster=cluster) as local:
                found[number].set_result(local.calls)
                await stop.wait()

        for number in range(count):
            group.create_task(run(number))
        calls = [await each for each in found]
        async with open_cluster() as cluster:
            topic = await cluster.topics.create(f"t-{uuid4().hex[:8]}", 2, KEEP)
        try:
            yield calls, topic.name
        finally:
            stop.set()


async def test_a_key_is_appended_once_whichever_gateway_is_asked(tmp_path: Path) -> None:
    async with gateways(tmp_path, 2) as (calls, topic):
        records = [(f"key-{number}".encode(), f"v{number}".encode()) for number in range(6)]
        for key in ("a", "b"):
            replies = await asyncio.gather(*(each.publish(topic, records, key=key) for each in (*calls, *calls)))
            assert len({tuple(placed(reply)) for reply in replies}) == 1
        again = await calls[1].publish(topic, records, key="a")
        assert again.repeated_request
        assert set(Counter(values(await calls[0].all_of(topic))).values()) == {2}


async def test_what_is_published_while_the_broker_dies_is_there_once(tmp_path: Path) -> None:
    with Broker.start() as broker:
        config = KafkaConfig(bootstrap=(broker.address,))
        # without gRPC in this process: it cannot be forked for the broker's sake while that runs
        async with open_kafka(config) as cluster, admin_gateway(tmp_path) as admin:
            api = LocalApi(replace(admin.services, cluster=cluster), admin.health, lambda: None)
            topic = (await cluster.topics.create("orders", 2, KEEP)).name
            application = Application(api, topic)
            await asyncio.gather(*(application.publish(f"before-{number}") for number in range(4)))
            broker.kill()
            during = [asyncio.create_task(application.publish(f"during-{number}")) for number in range(40)]
            await asyncio.to_thread(broker.restart)
            await asyncio.gather(*during)
            found = await application.read()
            await api.close()
    assert max(Counter(found.values()).values()) == 1
    assert {name: [found[place] for place in there] for name, there in application.answered.items()} == {
        name: [name] for name in application.answered
    }
    assert {*application.answered} <= {*found.values()} <= {*application.answered, *application.maybe}


class Application:
    """Publishes one record after another; three of four under a key, and these it repeats."""

    def __init__(self, api: LocalApi, topic: str) -> None:
        self._api, self._topic = api, topic
        self.answered: dict[str, list[tuple[int, int]]] = {}
        self.maybe: set[str] = set()

    async def publish(self, name: str) -> None:
        number = int(name.rpartition("-")[2])
        key = name if number % 4 else ""
        request = PublishRequest(self._topic, [NewRecord(value=name.encode())], None, key, number % 2 == 0)
        while name not in self.answered:
            try:
                published = await self._api.publish(request)
            except MeshError:
                if not key:
                    self.maybe.add(name)
                    return
                await asyncio.sleep(0.1)
            else:
                self.answered[name] = [(each.partition, each.first_offset) for each in published.placed]

    async def read(self) -> dict[tuple[int, int], str]:
        async with self._api.read(ReadQuery(self._topic, until_end=True)) as reading:
            return {
                (part.partition, record.offset): (record.value or b"").decode()
                async for parts in reading
                for part in parts
                for record in part.records
            }
