"""Kafka as `Groups`: groups of the classic protocol and of Kafka 4's, asked at their coordinators.

A commit carries no member and no generation: the coordinator takes that only while the group has no members, at the
moment of the write. That is the fence; nothing here looks first and writes after.

A consumer that assigns itself partitions joins no group. Nobody can see it, and its group is empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from kio.schema.api_versions.v3 import ApiVersionsRequest, ApiVersionsResponse
from kio.schema.consumer_group_describe.v0 import ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse
from kio.schema.describe_groups.v5 import DescribeGroupsRequest, DescribeGroupsResponse
from kio.schema.list_groups.v4 import ListGroupsRequest, ListGroupsResponse
from kio.schema.list_groups.v4.response import ListedGroup
from kio.schema.offset_commit.v8 import OffsetCommitRequest, OffsetCommitResponse
from kio.schema.offset_commit.v8.request import OffsetCommitRequestPartition, OffsetCommitRequestTopic
from kio.schema.offset_delete.v0 import OffsetDeleteRequest, OffsetDeleteResponse
from kio.schema.offset_delete.v0.request import OffsetDeleteRequestPartition, OffsetDeleteRequestTopic
from kio.schema.offset_fetch.v7 import OffsetFetchRequest, OffsetFetchResponse
from kio.schema.offset_fetch.v7.request import OffsetFetchRequestTopic
from kio.schema.types import GroupId
from kio.schema.types import TopicName as KafkaTopicName
from kio.static.primitive import i32, i64

from gateway.kafka.client import Client
from gateway.kafka.codes import Code
from gateway.kafka.coordinator import GROUP_KEY, NOT_NOW, check, coordinator, soon
from mesh.cluster_errors import GroupNotEmpty, PartitionAbsent, TopicAbsent
from mesh.errors import NetworkError
from mesh.groups import Group, GroupState, GroupSummary
from mesh.ids import GroupName, IllegalName, Partition

CONSUMERS = frozenset({"consumer", ""})
"""The protocol types of consumers; one that only commits has none. Connect workers and others have theirs."""
DEAD, EMPTY = "Dead", "Empty"
DESCRIBE_NEW = ConsumerGroupDescribeRequest.__api_key__


class KafkaGroups:
    """Implements `mesh.ports.Groups`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list(self) -> list[GroupSummary]:
        listings = [soon(self._client, partial(_listed, self._client, node)) for node in await self._client.brokers()]
        groups = {group.name: group for listed in await asyncio.gather(*listings) for group in listed}
        return [groups[name] for name in sorted(groups)]

    async def describe(self, name: GroupName, topics: Collection[str]) -> Group:
        return await soon(self._client, partial(_described, self._client, name, topics))

    async def commit(self, name: GroupName, positions: Mapping[Partition, int]) -> None:
        for topic in {partition.topic for partition in positions}:
            # the coordinator would keep positions of partitions that do not exist
            count = len((await self._client.topic(topic, fresh=True)).leaders)
            absent = [each.number for each in positions if each.topic == topic and not 0 <= each.number < count]
            if absent:
                raise PartitionAbsent(topic, absent[0], count)
        lost = await soon(self._client, partial(_committed, self._client, name, positions))
        if lost is not None:
            raise lost

    async def forget(self, name: GroupName, topic: str) -> None:
        count = len((await self._client.topic(topic, fresh=True)).leaders)
        await soon(self._client, partial(_forgotten, self._client, name, topic, count))


async def _listed(client: Client, node: int) -> list[GroupSummary]:
    answer = await client.call(ListGroupsRequest(states_filter=()), ListGroupsResponse, node)
    check(client, [int(answer.error_code)], "list", "the groups")
    return list(_summaries(answer.groups))


def _summaries(listed: Iterable[ListedGroup]) -> Iterator[GroupSummary]:
    for each in listed:
        try:
            name = GroupName(each.group_id)
        except IllegalName:  # we could not even print it
            continue
        if each.protocol_type in CONSUMERS and each.group_state != DEAD:
            yield GroupSummary(name, GroupState.EMPTY if each.group_state == EMPTY else GroupState.ACTIVE)


async def _described(client: Client, name: GroupName, topics: Collection[str]) -> Group:
    node = await coordinator(client, name, GROUP_KEY)
    members = await _members(client, name, node)
    if members is None:
        return Group(name, GroupState.ABSENT)
    positions = await _positions(client, name, topics, node)
    return Group(name, GroupState.ACTIVE if members else GroupState.EMPTY, members, positions)


async def _members(client: Client, name: GroupName, node: int) -> int | None:
    """How many there are, None where there is no group."""
    request = DescribeGroupsRequest(groups=(GroupId(name),), include_authorized_operations=False)
    found = client.only((await client.call(request, DescribeGroupsResponse, node)).groups)
    check(client, [int(found.error_code)], "describe", name)
    if found.group_state == DEAD:
        return await _members_of_new(client, name, node)
    # while members join, none may be listed yet
    return max(len(found.members), found.group_state != EMPTY)


async def _members_of_new(client: Client, name: GroupName, node: int) -> int | None:
    """Of a group of the protocol that Kafka 4 brought: the older request answers that it is dead."""
    ask = ApiVersionsRequest(client_software_name="stream-mesh", client_software_version="1")
    versions = await client.call(ask, ApiVersionsResponse, node)
    if not any(int(each.api_key) == DESCRIBE_NEW for each in versions.api_keys):
        return None
    request = ConsumerGroupDescribeRequest(group_ids=(GroupId(name),), include_authorized_operations=False)
    found = client.only((await client.call(request, ConsumerGroupDescribeResponse, node)).groups)
    if int(found.error_code) == Code.GROUP_ID_NOT_FOUND:
        return None
    check(client, [int(found.error_code)], "describe", name)
    return max(len(found.members), found.group_state not in {EMPTY, DEAD})


async def _positions(client: Client, name: GroupName, topics: Collection[str], node: int) -> dict[Partition, int]:
    counts = {topic: await _partitions(client, topic) for topic in sorted(topics)}
    asked = tuple(
        OffsetFetchRequestTopic(name=KafkaTopicName(topic), partition_indexes=tuple(map(i32, range(count))))
        for topic, count in counts.items()
        if count
    )
    request = OffsetFetchRequest(group_id=GroupId(name), topics=asked, require_stable=True)
    answer = await client.call(request, OffsetFetchResponse, node)
    check(client, [int(answer.error_code)], "read the positions of", name)
    found: dict[Partition, int] = {}
    for topic in answer.topics:
        for each in topic.partitions:
            check(client, [int(each.error_code)], "read positions on", str(topic.name))
            if each.committed_offset >= 0:
                found[Partition(str(topic.name), int(each.partition_index))] = int(each.committed_offset)
    return found


async def _partitions(client: Client, topic: str) -> int:
    """0 where there is no such topic."""
    try:
        return len((await client.topic(topic)).leaders)
    except TopicAbsent:
        return 0


async def _committed(client: Client, name: GroupName, positions: Mapping[Partition, int]) -> NetworkError | None:
    """The error after which nobody knows whether it was done: not tried again here, as others may commit meanwhile."""
    node = await coordinator(client, name, GROUP_KEY)
    topics: dict[str, list[OffsetCommitRequestPartition]] = {}
    for (topic, number), position in positions.items():
        # No leader epoch: they are of one cluster. A consumer that is given another's takes it for a truncation.
        part = OffsetCommitRequestPartition(
            partition_index=i32(number), committed_offset=i64(position), committed_metadata=None
        )
        topics.setdefault(topic, []).append(part)
    asked = tuple(
        OffsetCommitRequestTopic(name=KafkaTopicName(topic), partitions=tuple(parts)) for topic, parts in topics.items()
    )
    request = OffsetCommitRequest(group_id=GroupId(name), member_id="", topics=asked)
    try:
        answer = await client.call(request, OffsetCommitResponse, node)
    except NetworkError as error:
        return error
    for found in answer.topics:
        for each in found.partitions:
            code = int(each.error_code)
            if code == Code.UNKNOWN_MEMBER_ID:
                raise GroupNotEmpty(name)
            is_group = code in NOT_NOW or code == Code.GROUP_AUTHORIZATION_FAILED
            check(client, [code], "commit positions on", name if is_group else str(found.name))
    return None


async def _forgotten(client: Client, name: GroupName, topic: str, partitions: int) -> None:
    node = await coordinator(client, name, GROUP_KEY)
    numbers = tuple(OffsetDeleteRequestPartition(partition_index=i32(number)) for number in range(partitions))
    asked = OffsetDeleteRequestTopic(name=KafkaTopicName(topic), partitions=numbers)
    request = OffsetDeleteRequest(group_id=GroupId(name), topics=(asked,))
    answer = await client.call(request, OffsetDeleteResponse, node)
    codes = [int(answer.error_code)]
    codes += [int(each.error_code) for found in answer.topics for each in found.partitions]
    if Code.GROUP_ID_NOT_FOUND in codes:
        return
    if {Code.NON_EMPTY_GROUP, Code.GROUP_SUBSCRIBED_TO_TOPIC}.intersection(codes):
        raise GroupNotEmpty(name)
    check(client, codes[:1], "forget positions of", name)
    check(client, codes[1:], "forget positions on", topic)
