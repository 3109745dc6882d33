"""Where a partition begins and ends: ListOffsets."""

from __future__ import annotations

from kio.schema.list_offsets.v7 import ListOffsetsRequest, ListOffsetsResponse
from kio.schema.list_offsets.v7.request import ListOffsetsPartition, ListOffsetsTopic
from kio.schema.types import BrokerId
from kio.schema.types import TopicName as KafkaTopicName
from kio.static.primitive import i8, i32, i64

from gateway.kafka.client import Client
from gateway.kafka.codes import LEADER_UNSETTLED, Code, request_error
from gateway.kafka.errors import LeaderMoved
from gateway.kafka.fetch_message import READ_COMMITTED, READ_UNCOMMITTED
from gateway.kafka.patience import patiently
from mesh.ids import Partition
from mesh.log import LogRange

LATEST, EARLIEST = -1, -2


async def log_range(client: Client, partition: Partition, timeout_s: float) -> LogRange:
    """Raises TopicAbsent, PartitionAbsent."""

    async def ask() -> LogRange:
        # in this order each number is true when the next one is asked: start <= last stable <= end
        start = await _list_offset(client, partition, EARLIEST, READ_UNCOMMITTED)
        last_stable = await _list_offset(client, partition, LATEST, READ_COMMITTED)
        end = await _list_offset(client, partition, LATEST, READ_UNCOMMITTED)
        return LogRange(start, end, max(start, last_stable))

    return await patiently(client, partition, ask, timeout_s)


async def log_end(client: Client, partition: Partition, timeout_s: float) -> int:
    """The next offset to be written. Raises TopicAbsent, PartitionAbsent."""
    return await patiently(
        client, partition, lambda: _list_offset(client, partition, LATEST, READ_UNCOMMITTED), timeout_s
    )


async def offset_at(client: Client, partition: Partition, timestamp_ms: int, timeout_s: float) -> int | None:
    """Among committed records. Raises TopicAbsent, PartitionAbsent."""

    async def ask() -> int:
        return await _list_offset(client, partition, max(timestamp_ms, 0), READ_COMMITTED)

    offset = await patiently(client, partition, ask, timeout_s)
    return offset if offset >= 0 else None


async def _list_offset(client: Client, partition: Partition, timestamp: int, isolation: int) -> int:
    _, leader = await client.leader(partition)
    asked = ListOffsetsPartition(partition_index=i32(partition.number), timestamp=i64(timestamp))
    topic = ListOffsetsTopic(name=KafkaTopicName(partition.topic), partitions=(asked,))
    request = ListOffsetsRequest(replica_id=BrokerId(-1), isolation_level=i8(isolation), topics=(topic,))
    response = await client.call(request, ListOffsetsResponse, leader.node)
    answer = client.only(client.only(response.topics).partitions)
    code = int(answer.error_code)
    if code in LEADER_UNSETTLED:
        raise LeaderMoved(*partition)  # if it is the topic that is gone, the metadata says so next time
    if code != Code.NONE:
        raise request_error("read", partition.topic, code)
    return int(answer.offset)
