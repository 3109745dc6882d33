"""Looking at a Kafka cluster: its brokers' settings, and the topics that a gateway uses there."""

from __future__ import annotations

from collections.abc import Sequence

from kio.schema.metadata.v12 import MetadataRequest, MetadataResponse
from kio.schema.metadata.v12.request import MetadataRequestTopic
from kio.schema.metadata.v12.response import MetadataResponseTopic
from kio.schema.types import TopicName as KafkaTopicName

from gateway.doctor.facts import Asked, ClusterFacts, TopicFacts
from gateway.kafka.client import Client
from gateway.kafka.state_topics import broker_config
from gateway.kafka.topics import topic_configs
from mesh.cluster_errors import PermissionMissing, TopicAbsent


async def look_at_cluster(client: Client) -> ClusterFacts:
    """Raises ClusterUnreachable."""
    configs = {node: await broker_config(client, node) for node in sorted(client.nodes)}
    return ClusterFacts(client.cluster_id, {node: str(each) for node, each in client.nodes.items()}, configs)


async def look_at_topics(client: Client, asked: Sequence[Asked]) -> list[TopicFacts]:
    """Each topic of `asked`, in their order. Raises ClusterUnreachable."""
    found = await describe_topics(client, [each.name for each in asked])
    return [await _facts(client, each, found[each.name]) for each in asked]


async def describe_topics(client: Client, names: Sequence[str]) -> dict[str, MetadataResponseTopic]:
    """What the cluster says of each name, errors included, and which operations on it are ours."""
    if not names:
        return {}
    topics = tuple(MetadataRequestTopic(topic_id=None, name=KafkaTopicName(name)) for name in dict.fromkeys(names))
    request = MetadataRequest(topics=topics, allow_auto_topic_creation=False, include_topic_authorized_operations=True)
    answer = await client.call(request, MetadataResponse)
    return {str(topic.name): topic for topic in answer.topics}


async def _facts(client: Client, asked: Asked, found: MetadataResponseTopic) -> TopicFacts:
    if found.error_code != 0 or not found.partitions:
        return TopicFacts(asked)
    return TopicFacts(
        asked,
        partitions=len(found.partitions),
        replicas=min(len(each.replica_nodes) for each in found.partitions),
        without_leader=sum(int(each.leader_id) < 0 for each in found.partitions),
        behind=sum(len(each.isr_nodes) < len(each.replica_nodes) for each in found.partitions),
        config=await _config(client, asked.name),
    )


async def _config(client: Client, topic: str) -> dict[str, str] | None:
    try:
        configs = await topic_configs(client, [topic])
    except (PermissionMissing, TopicAbsent):
        return None
    return {key: value for key, (value, _) in configs[topic].items()}
