"""Finding out what we may do, without doing it.

A topic that exists is asked for its authorized operations. Kafka does not tell those of one that does not exist, but
it checks permission before existence: a request that cannot have an effect (an empty batch, a creation that is only
validated) is refused for the one reason or the other. Only a transactional id is really used: `mesh.doctor`, which
nothing else uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from kio.schema.create_topics.v7 import CreateTopicsRequest, CreateTopicsResponse
from kio.schema.create_topics.v7.request import CreatableTopic
from kio.schema.describe_cluster.v0 import DescribeClusterRequest, DescribeClusterResponse
from kio.schema.describe_groups.v5 import DescribeGroupsRequest, DescribeGroupsResponse
from kio.schema.describe_groups.v5.response import DescribedGroup
from kio.schema.describe_producers.v0 import DescribeProducersRequest, DescribeProducersResponse
from kio.schema.describe_producers.v0.request import TopicRequest
from kio.schema.metadata.v12.response import MetadataResponseTopic
from kio.schema.produce.v9 import ProduceRequest, ProduceResponse
from kio.schema.produce.v9.request import PartitionProduceData, TopicProduceData
from kio.schema.types import GroupId
from kio.schema.types import TopicName as KafkaTopicName
from kio.static.primitive import i16, i32, i32Timedelta

from gateway.doctor.facts import Access, Asked, Use
from gateway.doctor.looking import describe_topics
from gateway.doctor.permissions import NAME_PREFIX, NEEDS, Kind, Need, Operation, Role, needs
from gateway.kafka.client import Client
from gateway.kafka.codes import Code
from gateway.kafka.coordinator import GROUP_KEY, NOT_NOW, coordinator
from gateway.kafka.membership import GROUP
from gateway.kafka.patience import patiently
from gateway.kafka.state_topics import broker_config
from gateway.kafka.topics import topic_configs
from gateway.kafka.transactions import init_producer
from mesh.cluster_errors import ClusterUnreachable, PermissionMissing, TopicAbsent
from mesh.errors import MeshError
from mesh.ids import Partition

DOCTOR = f"{NAME_PREFIX}doctor"
ROLES = {Use.STATE: Role.ALWAYS, Use.SOURCE: Role.SOURCE, Use.DESTINATION: Role.DESTINATION}
DENIED = frozenset({Code.TOPIC_AUTHORIZATION_FAILED, Code.CLUSTER_AUTHORIZATION_FAILED, 30})
"""30 is that of groups."""
ABSENT = frozenset({Code.UNKNOWN_TOPIC_OR_PARTITION, Code.UNKNOWN_TOPIC_ID})
NOT_TOLD = -(1 << 31)
PATIENCE_S = 10.0
BRIEFLY = i32Timedelta.parse(timedelta(seconds=5))


async def try_topics(client: Client, asked: Sequence[Asked]) -> list[Access]:
    """Every need on every topic, in the order of both. Raises ClusterUnreachable."""
    found = await describe_topics(client, [each.name for each in asked])
    wanted = [(need, each.name) for each in asked for need in needs(ROLES[each.use]) if need.kind is Kind.TOPIC]
    return [await _try_topic(client, need, found[name]) for need, name in wanted]


async def _try_topic(client: Client, need: Need, topic: MetadataResponseTopic) -> Access:
    name, mask = str(topic.name), int(topic.topic_authorized_operations)
    exists = int(topic.error_code) == Code.NONE
    if exists and need.operation is not Operation.CREATE and mask != NOT_TOLD:
        return Access(need, name, bool(mask >> need.operation & 1), exists=True)
    attempt = ATTEMPTS.get(need.operation)
    if attempt is None:
        return Access(need, name, why="it is known when the topic exists", exists=exists)
    code = await attempt(client, name)
    if code in DENIED:
        return Access(need, name, False, exists=exists)
    if code in {Code.NONE, Code.TOPIC_ALREADY_EXISTS, *ABSENT, Code.INVALID_RECORD}:
        return Access(need, name, True, exists=exists)
    return Access(need, name, why=f"the cluster answered error {code}", exists=exists)


async def _create(client: Client, name: str) -> int:
    topic = CreatableTopic(
        name=KafkaTopicName(name), num_partitions=i32(1), replication_factor=i16(1), assignments=(), configs=()
    )
    request = CreateTopicsRequest(topics=(topic,), timeout=BRIEFLY, validate_only=True)
    return int(client.only((await client.call(request, CreateTopicsResponse)).topics).error_code)


async def _read(client: Client, name: str) -> int:
    topic = TopicRequest(name=KafkaTopicName(name), partition_indexes=(i32(0),))
    answer = await client.call(DescribeProducersRequest(topics=(topic,)), DescribeProducersResponse)
    return int(client.only(client.only(answer.topics).partitions).error_code)


async def _write(client: Client, name: str) -> int:
    partition = PartitionProduceData(index=i32(0), records=None)
    topic = TopicProduceData(name=KafkaTopicName(name), partition_data=(partition,))
    request = ProduceRequest(acks=i16(-1), timeout=BRIEFLY, topic_data=(topic,))
    answer = await client.call(request, ProduceResponse)
    return int(client.only(client.only(answer.responses).partition_responses).error_code)


async def _describe_configs(client: Client, name: str) -> int:
    try:
        await topic_configs(client, [name])
    except PermissionMissing:
        return Code.TOPIC_AUTHORIZATION_FAILED
    except TopicAbsent:
        return Code.UNKNOWN_TOPIC_OR_PARTITION
    return Code.NONE


ATTEMPTS: dict[Operation, Callable[[Client, str], Awaitable[int]]] = {
    Operation.CREATE: _create,
    Operation.READ: _read,
    Operation.WRITE: _write,
    Operation.DESCRIBE_CONFIGS: _describe_configs,
}


async def try_others(client: Client, *, mirrors: bool) -> list[Access]:
    """The needs on names, groups and the cluster; `mirrors`: whether lanes end here. Raises ClusterUnreachable."""
    mask = await _cluster_operations(client)
    node = min(client.nodes)
    return [
        replace(await _try_name(client, _need(Kind.TRANSACTIONAL_ID, Operation.WRITE)), in_use=mirrors),
        await _try_group(client, _need(Kind.GROUP, Operation.READ)),
        _of_cluster(_need(Kind.CLUSTER, Operation.ALTER), mask),
        Access(_need(Kind.CLUSTER, Operation.DESCRIBE), allowed=mask is not None),
        Access(_need(Kind.CLUSTER, Operation.DESCRIBE_CONFIGS), allowed=bool(await broker_config(client, node))),
    ]


def _need(kind: Kind, operation: Operation) -> Need:
    return next(each for each in NEEDS if (each.kind, each.operation) == (kind, operation))


async def _try_name(client: Client, need: Need) -> Access:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await init_producer(client, DOCTOR)
    except TimeoutError:
        return Access(need, why=f"no broker coordinated transactional ids within {PATIENCE_S:g} s")
    except PermissionMissing:
        return Access(need, allowed=False)
    except MeshError as error:
        return Access(need, why=str(error))
    return Access(need, allowed=True)


async def _try_group(client: Client, need: Need) -> Access:
    async def ask() -> DescribedGroup:
        return await _describe_group(client)

    try:
        group = await patiently(client, Partition("__consumer_offsets", 0), ask, PATIENCE_S)
    except PermissionMissing:
        return Access(need, allowed=False)
    except MeshError as error:
        return Access(need, why=str(error))
    mask = int(group.authorized_operations)
    if int(group.error_code) in DENIED:
        return Access(need, allowed=False)
    if group.error_code != 0 or mask == NOT_TOLD:
        return Access(need, why=f"the cluster answered error {int(group.error_code)}")
    return Access(need, allowed=bool(mask >> need.operation & 1))


async def _describe_group(client: Client) -> DescribedGroup:
    """Raises ClusterUnreachable while nobody coordinates the group: its topic may just be made."""
    node = await coordinator(client, GROUP, GROUP_KEY)
    request = DescribeGroupsRequest(groups=(GroupId(GROUP),), include_authorized_operations=True)
    group = client.only((await client.call(request, DescribeGroupsResponse, node)).groups)
    if int(group.error_code) in NOT_NOW:
        raise ClusterUnreachable(client.cluster_id, "no broker coordinates groups")
    return group


async def _cluster_operations(client: Client) -> int | None:
    request = DescribeClusterRequest(include_cluster_authorized_operations=True)
    answer = await client.call(request, DescribeClusterResponse)
    mask = int(answer.cluster_authorized_operations)
    return None if mask in {0, NOT_TOLD} or answer.error_code != 0 else mask


def _of_cluster(need: Need, mask: int | None) -> Access:
    if mask is None:
        return Access(need, why="the cluster tells it only to who may describe it")
    return Access(need, allowed=bool(mask >> need.operation & 1))
