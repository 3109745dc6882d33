"""The gateway's own topics are kept as often as the cluster keeps its own."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from gateway.kafka import KafkaConfig
from gateway.kafka.client import Client
from gateway.kafka.state_topics import broker_config, create_state_topic, internal_replicas
from gateway.kafka.topics import topic_configs
from tests.support.brokers import shared_broker


@pytest.mark.parametrize(
    ("config", "replicas"),
    [
        ({}, 3),
        ({"offsets.topic.replication.factor": "3", "default.replication.factor": "1"}, 3),
        ({"offsets.topic.replication.factor": "1", "default.replication.factor": "2"}, 2),
        ({"offsets.topic.replication.factor": "1", "default.replication.factor": "1"}, 1),
    ],
)
def test_state_is_replicated_as_the_internal_topics_are(config: dict[str, str], replicas: int) -> None:
    assert internal_replicas(config) == replicas


@pytest.mark.kafka
async def test_a_cluster_of_one_takes_the_one_replica_that_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"_mesh.test-{uuid4().hex[:8]}"
    async with asyncio.TaskGroup() as tasks:
        client = Client(KafkaConfig(bootstrap=(shared_broker().address,)), None, tasks)
        await client.start()
        assert (await broker_config(client))["offsets.topic.replication.factor"] == "1"
        # as where the broker's configuration may not be read: three are asked for first
        monkeypatch.setattr("gateway.kafka.state_topics.REPLICATION_KEYS", ())
        await create_state_topic(client, name, 1, {"cleanup.policy": "compact"})
        found = (await topic_configs(client, [name]))[name]
        assert found["min.insync.replicas"] == ("1", True)
        assert found["cleanup.policy"] == ("compact", True)
        client.close()
