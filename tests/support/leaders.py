"""Who leads what in a cluster of several brokers, and how to make it change."""

from __future__ import annotations

from datetime import timedelta

from kio.schema.alter_partition_reassignments.v0 import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
)
from kio.schema.alter_partition_reassignments.v0.request import ReassignablePartition, ReassignableTopic
from kio.schema.describe_quorum.v1 import DescribeQuorumRequest, DescribeQuorumResponse
from kio.schema.describe_quorum.v1.request import PartitionData, TopicData
from kio.schema.elect_leaders.v2 import ElectLeadersRequest, ElectLeadersResponse
from kio.schema.elect_leaders.v2.request import TopicPartitions
from kio.schema.metadata.v12 import MetadataRequest, MetadataResponse
from kio.schema.types import BrokerId
from kio.schema.types import TopicName as KafkaTopicName
from kio.static.primitive import i8, i32, i32Timedelta

from gateway.kafka import KafkaConfig
from gateway.kafka.opening import open_client

PATIENCE = i32Timedelta.parse(timedelta(seconds=20))
METADATA_TOPIC = "__cluster_metadata"
PREFERRED = i8(0)
NOT_NEEDED = 84
"""The error of an election whose winner leads already."""


async def move_leaders(address: str, topics: list[str], brokers: int) -> None:
    """Every partition of `topics`, which all brokers keep, gets the next broker as its leader."""
    async with open_client(KafkaConfig(bootstrap=(address,))) as client:
        wanted, chosen = [], []
        for name in topics:
            leaders = (await client.topic(name, fresh=True)).leaders
            partitions = tuple(
                ReassignablePartition(partition_index=i32(number), replicas=_from(leader.node % brokers + 1, brokers))
                for number, leader in enumerate(leaders)
            )
            wanted.append(ReassignableTopic(name=KafkaTopicName(name), partitions=partitions))
            numbers = tuple(i32(number) for number in range(len(leaders)))
            chosen.append(TopicPartitions(topic=KafkaTopicName(name), partitions=numbers))
        asked = AlterPartitionReassignmentsRequest(timeout=PATIENCE, topics=tuple(wanted))
        altered = await client.call(asked, AlterPartitionReassignmentsResponse)
        assert altered.error_code == 0, altered
        election = ElectLeadersRequest(election_type=PREFERRED, topic_partitions=tuple(chosen), timeout=PATIENCE)
        elected = await client.call(election, ElectLeadersResponse)
        codes = {int(each.error_code) for topic in elected.replica_election_results for each in topic.partition_result}
        assert codes <= {0, NOT_NEEDED}, elected


def _from(first: int, brokers: int) -> tuple[BrokerId, ...]:
    return tuple(BrokerId((first - 1 + at) % brokers + 1) for at in range(brokers))


async def controller(address: str) -> int:
    """The broker that is the active controller."""
    async with open_client(KafkaConfig(bootstrap=(address,))) as client:
        asked = TopicData(
            topic_name=KafkaTopicName(METADATA_TOPIC), partitions=(PartitionData(partition_index=i32(0)),)
        )
        answer = await client.call(DescribeQuorumRequest(topics=(asked,)), DescribeQuorumResponse)
        return int(answer.topics[0].partitions[0].leader_id)


async def leads(address: str, topic: str) -> set[int]:
    """The brokers that lead a partition of `topic`."""
    async with open_client(KafkaConfig(bootstrap=(address,))) as client:
        return {leader.node for leader in (await client.topic(topic, fresh=True)).leaders}


async def behind(address: str) -> int:
    """How many partitions lack a replica in sync."""
    async with open_client(KafkaConfig(bootstrap=(address,))) as client:
        request = MetadataRequest(
            topics=None, allow_auto_topic_creation=False, include_topic_authorized_operations=False
        )
        answer = await client.call(request, MetadataResponse)
        return sum(
            len(partition.isr_nodes) < len(partition.replica_nodes)
            for topic in answer.topics
            for partition in topic.partitions
        )
