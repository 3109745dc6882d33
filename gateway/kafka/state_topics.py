"""Creating the topics that hold the gateway's own state: as safe as the cluster keeps its own.

Their replication is that of the cluster's internal topics (`offsets.topic.replication.factor`, or the default of new
topics where that is higher), not the default of new topics, which is 1 unless somebody raised it. A cluster
with fewer brokers than that gets as many replicas as it takes. All but one of the replicas must have a write: one
broker may die, and then no acknowledged state is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from kio.schema.describe_configs.v4 import DescribeConfigsRequest, DescribeConfigsResponse
from kio.schema.describe_configs.v4.request import DescribeConfigsResource
from kio.static.primitive import i8

from gateway.kafka.client import ANY_BROKER, Client
from gateway.kafka.errors import TopicRefused
from gateway.kafka.metadata import TopicMetadata
from gateway.kafka.topics import create_topic, topic_configs
from mesh.cluster_errors import TopicAbsent, TopicExists

BROKER_RESOURCE = i8(4)
USUAL_REPLICAS = 3
"""Kafka's own default for internal topics, where the brokers' configuration may not be read."""
REPLICATION_KEYS = ("offsets.topic.replication.factor", "default.replication.factor")


async def ensure_state_topic(
    client: Client, name: str, partitions: int, config: Mapping[str, str]
) -> tuple[TopicMetadata, dict[str, tuple[str, bool]]]:
    """The topic, created where it is absent, and its settings as `topic_configs` tells them."""
    try:
        await client.topic(name)
    except TopicAbsent:
        with suppress(TopicExists):  # another gateway may be quicker
            await create_state_topic(client, name, partitions, config)
    found = await client.topic(name, fresh=True)
    return found, (await topic_configs(client, [name]))[name]


async def create_state_topic(client: Client, name: str, partitions: int, config: Mapping[str, str]) -> None:
    """As `create_topic`, with the replication of the cluster's internal topics."""
    for replicas in range(internal_replicas(await broker_config(client)), 0, -1):
        try:
            kept = {"min.insync.replicas": str(max(1, replicas - 1)), **config}
            await create_topic(client, name, partitions, kept, replicas)
        except TopicRefused:  # more than there are brokers, or the refusal has another reason and comes again
            if replicas == 1:
                raise
        else:
            return


def internal_replicas(config: Mapping[str, str]) -> int:
    """How often a cluster of this broker configuration keeps its own topics."""
    stated = [int(config[key]) for key in REPLICATION_KEYS if config.get(key, "").isdigit()]
    return max(stated, default=USUAL_REPLICAS) or USUAL_REPLICAS


async def broker_config(client: Client, node: int = ANY_BROKER) -> dict[str, str]:
    """The settings of a broker, empty where they may not be read; of `ANY_BROKER` those of one of them.

    Raises ClusterUnreachable.
    """
    node = node if node != ANY_BROKER else min(client.nodes)
    resource = DescribeConfigsResource(resource_type=BROKER_RESOURCE, resource_name=str(node), configuration_keys=None)
    answer = await client.call(DescribeConfigsRequest(resources=(resource,)), DescribeConfigsResponse, node)
    found = client.only(answer.results)
    if found.error_code != 0:
        return {}
    return {each.name: each.value for each in found.configs if each.value is not None}
