"""On a real broker: a topic that appears by a pattern, grows and is configured anew is followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest

from gateway.importer.following import is_empty
from mesh.cluster_errors import TopicAbsent
from mesh.ids import Partition, SubscriptionName
from mesh.log import Topic
from mesh.ports import Cluster
from mesh.shares import Policies
from tests.support.batches import NOBODY, numbered, records_in, stamped
from tests.support.brokers import open_cluster
from tests.support.following import NAME, following
from tests.support.hubs import FLIGHTS

pytestmark = pytest.mark.kafka


async def until_topic(cluster: Cluster, name: str, condition: Callable[[Topic], bool]) -> Topic:
    """The topic, as soon as the condition holds: a broker tells nobody."""
    while True:
        try:
            topic = await cluster.topics.describe(name)
            if condition(topic):
                return topic
        except TopicAbsent:
            pass
        await asyncio.sleep(0.1)


async def copied(cluster: Cluster, place: Partition, count: int) -> list[bytes]:
    while (await cluster.source.range(place)).end < count:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.1)
    fetched = await cluster.source.fetch(place, 0, None, 1 << 20, 0)
    return [value for _, value in records_in(fetched.data)]


async def write(cluster: Cluster, place: Partition, number: int) -> None:
    await cluster.destination.append(place, stamped(NOBODY, -1, numbered(number)))


async def test_a_topic_is_followed_from_its_first_record_through_growth_and_settings() -> None:
    run = uuid4().hex[:8]
    source, copy = f"orders-{run}.eu", f"copy-{run}.eu"
    async with open_cluster() as kafka, following(kafka) as flow:
        await flow.both.acme.registry.add_to_share(FLIGHTS, [], [f"orders-{run}.*"])
        await flow.subscribe(patterns=[(f"orders-{run}.*", f"copy-{run}.*")], start="latest", follow_config=True)
        await kafka.topics.create(source, 1, {"retention.ms": "-1"})
        await write(kafka, Partition(source, 0), 0)
        await until_topic(kafka, copy, lambda topic: topic.partitions == 1)
        assert await copied(kafka, Partition(copy, 0), 1) == numbered(0)

        await kafka.topics.grow(source, 3)
        await write(kafka, Partition(source, 2), 7)
        await until_topic(kafka, copy, lambda topic: topic.partitions == 3)
        assert await copied(kafka, Partition(copy, 2), 1) == numbered(7)

        await kafka.topics.configure(source, {"max.message.bytes": "2000000", "min.insync.replicas": "1"})
        followed = await until_topic(kafka, copy, lambda topic: topic.config.get("max.message.bytes") == "2000000")
        assert "min.insync.replicas" not in followed.config
        await kafka.topics.configure(source, {"max.message.bytes": None})
        await until_topic(kafka, copy, lambda topic: "max.message.bytes" not in topic.config)

        await flow.both.globex.registry.set_policies(NAME, Policies(follow_config=False))
        await write(kafka, Partition(source, 0), 1)
        assert await copied(kafka, Partition(copy, 0), 2) == numbered(0, 1)
        assert flow.both.globex.registry.subscription(SubscriptionName("flights")).topics[0].source_partitions == 0
        assert not await is_empty(kafka, copy)
