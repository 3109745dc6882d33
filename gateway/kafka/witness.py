"""What a log says about one producer: the broker's memory, the batch headers, the log's range."""

from __future__ import annotations

from kio.schema.describe_producers.v0 import DescribeProducersRequest, DescribeProducersResponse
from kio.schema.describe_producers.v0.request import TopicRequest
from kio.schema.types import TopicName as KafkaTopicName
from kio.static.primitive import i32

from gateway.kafka.client import Client
from gateway.kafka.codes import LEADER_UNSETTLED, Code, request_error
from gateway.kafka.errors import LeaderMoved
from gateway.kafka.offsets import log_range
from gateway.kafka.scan import scan
from mesh.batch.header import BatchHeader
from mesh.batch.stamp import Producer
from mesh.ids import Partition
from mesh.log import OwnBatch, Witnesses


async def ask_log(client: Client, partition: Partition, producer: Producer, from_offset: int) -> Witnesses:
    """Raises LeaderMoved and ClusterUnreachable (ask again), TopicAbsent, PartitionAbsent, PermissionMissing."""
    topic = await client.topic(partition.topic, fresh=True)  # an empty log says nothing of what it was before
    where = await log_range(client, partition, client.config.request_timeout_s)
    own: list[OwnBatch] = []
    foreign_count = 0
    first = max(from_offset, where.start)
    async for header, _ in scan(client, partition, first, where.end):
        if _is_own(header, producer):
            batch = OwnBatch(header.base_offset, header.base_sequence, header.last_offset_delta + 1)
            own.append(batch.beyond(first))
        else:
            foreign_count += header.next_offset - max(header.base_offset, first)
    epoch, last = await known_producer(client, partition, producer.id) or (-1, -1)
    last_sequence = last if epoch == producer.epoch and last >= 0 else None
    return Witnesses(where, last_sequence, tuple(own), foreign_count, topic.topic_id)


def _is_own(header: BatchHeader, producer: Producer) -> bool:
    # A marker of ours takes an offset, but holds nothing that a lane appended; under another epoch it was another lane.
    return (header.producer_id, header.producer_epoch) == producer and not header.is_control


async def known_producer(client: Client, partition: Partition, producer_id: int) -> tuple[int, int] | None:
    """The epoch that the leader knows the producer at, and its last sequence, -1 where it wrote nothing under it."""
    _, leader = await client.leader(partition)
    topic = TopicRequest(name=KafkaTopicName(partition.topic), partition_indexes=(i32(partition.number),))
    response = await client.call(DescribeProducersRequest(topics=(topic,)), DescribeProducersResponse, leader.node)
    answer = client.only(client.only(response.topics).partitions)
    code = int(answer.error_code)
    if code in LEADER_UNSETTLED:
        raise LeaderMoved(*partition)
    if code != Code.NONE:
        raise request_error("describe the producers of", partition.topic, code, answer.error_message)
    known = {
        int(each.producer_id): (int(each.producer_epoch), int(each.last_sequence)) for each in answer.active_producers
    }
    return known.get(producer_id)
