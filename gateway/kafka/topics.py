"""Kafka as `Topics`: what a user may see of them; internal topics and ours are hidden."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from kio.schema.create_partitions.v3 import CreatePartitionsRequest, CreatePartitionsResponse
from kio.schema.create_partitions.v3.request import CreatePartitionsTopic
from kio.schema.create_topics.v7 import CreateTopicsRequest, CreateTopicsResponse
from kio.schema.create_topics.v7.request import CreatableTopic, CreatableTopicConfig
from kio.schema.delete_topics.v6 import DeleteTopicsRequest, DeleteTopicsResponse
from kio.schema.delete_topics.v6.request import DeleteTopicState
from kio.schema.describe_configs.v4 import DescribeConfigsRequest, DescribeConfigsResponse
from kio.schema.describe_configs.v4.request import DescribeConfigsResource
from kio.schema.describe_log_dirs.v4 import DescribeLogDirsRequest, DescribeLogDirsResponse
from kio.schema.describe_log_dirs.v4.request import DescribableLogDirTopic
from kio.schema.incremental_alter_configs.v1 import IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse
from kio.schema.incremental_alter_configs.v1.request import AlterableConfig, AlterConfigsResource
from kio.schema.types import TopicName as KafkaTopicName
from kio.static.primitive import i8, i16, i32, i32Timedelta

from gateway.kafka.client import Client
from gateway.kafka.codes import Code, request_error
from gateway.kafka.errors import LeaderMoved, TopicRefused
from gateway.kafka.metadata import TopicMetadata
from gateway.kafka.patience import patiently
from gateway.kafka.together import Together
from mesh.cluster_errors import ClusterUnreachable, TopicAbsent, TopicExists
from mesh.errors import MeshError
from mesh.ids import IllegalName, Partition, TopicName
from mesh.log import Topic

TOPIC_RESOURCE = i8(2)
SET, DELETE = i8(0), i8(1)
"""What IncrementalAlterConfigs can do with a setting."""
SET_ON_THE_TOPIC = 1
"""The config source DYNAMIC_TOPIC_CONFIG; the others are the broker's defaults."""
RETENTION = "retention.ms"
"""Stated for every topic, as whoever copies one has to know how long it keeps records; by the port, for ever."""
IN_FORCE = (
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.difference.max.ms",
    "message.timestamp.type",
)
SINCE_3_6 = ("message.timestamp.after.max.ms", "message.timestamp.before.max.ms")
"""Brokers before 3.6 know neither, and refuse no timestamp unless their one other limit is set."""
UNKNOWN_SETTING = "Unknown topic config name"
INVALID_CONFIG = 40
CLUSTER_DEFAULT = -1
REFUSALS = frozenset({37, 38, 40, 42, 44})
"""Invalid partitions, replication factor, config or request; policy violation: the caller can do better."""


class KafkaTopics:
    """Implements `mesh.ports.Topics`. `create`, `grow` and `configure` also raise TopicRefused."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._described = Together(self._describe)

    async def create(self, name: str, partitions: int, config: Mapping[str, str]) -> Topic:
        await create_topic(self._client, TopicName(name), partitions, config)
        return await self.describe(name)

    async def describe(self, name: str) -> Topic:
        return await self._described.ask(name)

    async def _describe(self, name: str) -> Topic:
        if not _is_visible(name):
            raise TopicAbsent(name)
        found = await self._client.topic(name, fresh=True)
        if found.internal:
            raise TopicAbsent(name)
        configs = await topic_configs(self._client, [name])
        return _topic(found, configs[name])

    async def list(self, wanted: Callable[[str], bool] = lambda name: True) -> list[Topic]:
        visible = [each for each in await self._client.all_topics() if not each.internal and _is_visible(each.name)]
        found = [each for each in visible if wanted(each.name)]
        configs = await topic_configs(self._client, [each.name for each in found])
        known = [each for each in found if each.name in configs]  # the others were deleted meanwhile
        return sorted((_topic(each, configs[each.name]) for each in known), key=lambda topic: topic.name)

    async def grow(self, name: str, partitions: int) -> Topic:
        if (await self.describe(name)).partitions < partitions:
            wanted = CreatePartitionsTopic(name=KafkaTopicName(name), count=i32(partitions), assignments=None)
            request = CreatePartitionsRequest(topics=(wanted,), timeout=_timeout(self._client), validate_only=False)
            result = self._client.only((await self._client.call(request, CreatePartitionsResponse)).results)
            code = int(result.error_code)
            # somebody else may have grown it at the same moment: what there is counts
            if code != Code.NONE and (await self.describe(name)).partitions < partitions:
                raise _refusal("grow", name, code, result.error_message)
            await _settled(self._client, name, partitions)
        return await self.describe(name)

    async def configure(self, name: str, settings: Mapping[str, str | None]) -> Topic:
        await self.describe(name)
        changes = tuple(
            AlterableConfig(name=key, config_operation=SET if value is not None else DELETE, value=value)
            for key, value in settings.items()
        )
        resource = AlterConfigsResource(resource_type=TOPIC_RESOURCE, resource_name=name, configs=changes)
        request = IncrementalAlterConfigsRequest(resources=(resource,), validate_only=False)
        answer = self._client.only((await self._client.call(request, IncrementalAlterConfigsResponse)).responses)
        if answer.error_code != 0:
            raise _refusal("configure", name, int(answer.error_code), answer.error_message)
        return await self.describe(name)

    async def sizes(self, name: str) -> Mapping[int, int] | None:
        """Of the leaders' replicas. DescribeLogDirs needs a permission on the cluster that a gateway can do without."""
        await self.describe(name)
        by_node: defaultdict[int, list[int]] = defaultdict(list)
        for number, leader in enumerate((await self._client.topic(name)).leaders):
            by_node[leader.node].append(number)
        sizes: dict[int, int] = {}
        for node, numbers in by_node.items():
            found = await _log_sizes(self._client, name, node, numbers)
            if found is None:
                return None
            sizes |= found
        return sizes

    async def delete(self, name: str) -> None:
        """Returns when the cluster has forgotten the name, so that it can be created anew."""
        topic = DeleteTopicState(name=None, topic_id=uuid.UUID((await self.describe(name)).topic_id))
        request = DeleteTopicsRequest(topics=(topic,), timeout=_timeout(self._client))
        answer = self._client.only((await self._client.call(request, DeleteTopicsResponse)).responses)
        if answer.error_code != 0:
            raise request_error("delete", name, int(answer.error_code), answer.error_message)
        await self._gone(name)

    async def _gone(self, name: str) -> None:
        async def ask() -> None:
            try:
                await self._client.topic(name, fresh=True)
            except TopicAbsent:
                return
            raise ClusterUnreachable(self._client.cluster_id, f"it still knows topic {name!r}")

        await patiently(self._client, Partition(name, 0), ask, self._client.config.request_timeout_s)


async def _log_sizes(client: Client, name: str, node: int, numbers: Iterable[int]) -> dict[int, int] | None:
    topic = DescribableLogDirTopic(topic=KafkaTopicName(name), partitions=tuple(map(i32, numbers)))
    answer = await client.call(DescribeLogDirsRequest(topics=(topic,)), DescribeLogDirsResponse, node)
    if answer.error_code != 0 or any(each.error_code != 0 for each in answer.results):
        return None
    partitions = [each for result in answer.results for found in result.topics for each in found.partitions]
    sizes = {int(each.partition_index): int(each.partition_size) for each in partitions if not each.is_future_key}
    return sizes if set(sizes) == set(numbers) else None


async def topic_configs(client: Client, names: Iterable[str]) -> dict[str, dict[str, tuple[str, bool]]]:
    """Of each topic that there is, each setting's value, and whether it is set on the topic itself."""
    resources = tuple(
        DescribeConfigsResource(resource_type=TOPIC_RESOURCE, resource_name=name, configuration_keys=None)
        for name in names
    )
    if not resources:
        return {}
    answer = await client.call(DescribeConfigsRequest(resources=resources), DescribeConfigsResponse)
    configs: dict[str, dict[str, tuple[str, bool]]] = {}
    for result in answer.results:
        name, code = result.resource_name, int(result.error_code)
        if code == Code.UNKNOWN_TOPIC_OR_PARTITION and len(resources) > 1:
            continue
        if code != Code.NONE:
            raise request_error("describe the configuration of", name, code, result.error_message)
        configs[name] = {
            each.name: (each.value, each.config_source == SET_ON_THE_TOPIC)
            for each in result.configs
            if each.value is not None
        }
    return configs


async def create_topic(
    client: Client, name: str, partitions: int, config: Mapping[str, str], replicas: int = CLUSTER_DEFAULT
) -> None:
    """Create a topic, internal or not, and wait for its leaders. Raises TopicExists, TopicRefused.

    What brokers before 3.6 do not know of the limits of timestamps, they are not asked for.
    """
    wanted = CreatableTopic(
        name=KafkaTopicName(name),
        num_partitions=i32(partitions),
        replication_factor=i16(replicas),
        assignments=(),
        configs=tuple(CreatableTopicConfig(name=key, value=value) for key, value in config.items()),
    )
    request = CreateTopicsRequest(topics=(wanted,), timeout=_timeout(client))
    answer = client.only((await client.call(request, CreateTopicsResponse)).topics)
    code, why = int(answer.error_code), answer.error_message
    if code == INVALID_CONFIG and UNKNOWN_SETTING in (why or "") and any(key in config for key in SINCE_3_6):
        older = {key: value for key, value in config.items() if key not in SINCE_3_6}
        await create_topic(client, name, partitions, older, replicas)
        return
    if code != 0:
        raise _creation_error(name, code, why)
    await _settled(client, name, partitions)


async def _settled(client: Client, name: str, partitions: int) -> None:
    async def ask() -> None:
        try:
            topic = await client.topic(name, fresh=True)
        except TopicAbsent:
            raise LeaderMoved(name, 0) from None  # the broker that was asked has not heard of it yet
        if len(topic.leaders) < partitions or any(leader.node < 0 for leader in topic.leaders):
            raise LeaderMoved(name, 0)

    await patiently(client, Partition(name, 0), ask, client.config.request_timeout_s)


def _creation_error(name: str, code: int, why: str | None) -> MeshError:
    if code == Code.TOPIC_ALREADY_EXISTS:
        return TopicExists(name)
    if code == Code.INVALID_TOPIC:
        return IllegalName(TopicName.kind, name, why or TopicName.rule)
    return _refusal("create", name, code, why)


def _refusal(request: str, name: str, code: int, why: str | None) -> MeshError:
    if code in REFUSALS:
        return TopicRefused(name, why or f"error {code}", request)
    return request_error(request, name, code, why)


def _is_visible(name: str) -> bool:
    try:
        TopicName(name)
    except IllegalName:
        return False
    return True


def _topic(found: TopicMetadata, config: Mapping[str, tuple[str, bool]]) -> Topic:
    own = {key: value for key, (value, is_own) in config.items() if is_own or key == RETENTION}
    in_force = {key: config[key][0] for key in IN_FORCE if key in config}
    return Topic(found.name, found.topic_id, len(found.leaders), own, in_force)


def _timeout(client: Client) -> i32Timedelta:
    return i32Timedelta.parse(timedelta(seconds=client.config.request_timeout_s))
