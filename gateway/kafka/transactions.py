"""Producers with a name, and the strict cut: what of Kafka's transactions a mirror needs.

The name is a transactional id, yet lanes write without transactions: it only makes the producer's epoch something that
can be raised. `cut` raises it and has one marker at the new epoch written into each partition; from there on the
partition refuses the older one.

A coordinator forgets a transactional id that began no transaction for `transactional.id.expiration.ms` (a week by
default), and then gives its name another producer id. In that case the markers are asked of the leaders themselves,
which needs the right to alter the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from kio.schema.add_partitions_to_txn.v3 import AddPartitionsToTxnRequest, AddPartitionsToTxnResponse
from kio.schema.add_partitions_to_txn.v3.request import AddPartitionsToTxnTopic
from kio.schema.end_txn.v3 import EndTxnRequest, EndTxnResponse
from kio.schema.init_producer_id.v4 import InitProducerIdRequest, InitProducerIdResponse
from kio.schema.types import ProducerId, TransactionalId
from kio.schema.types import TopicName as KafkaTopicName
from kio.schema.write_txn_markers.v1 import WriteTxnMarkersRequest, WriteTxnMarkersResponse
from kio.schema.write_txn_markers.v1.request import WritableTxnMarker, WritableTxnMarkerTopic
from kio.static.primitive import i16, i32, i32Timedelta

from gateway.kafka.client import ANY_BROKER, Client
from gateway.kafka.codes import LEADER_UNSETTLED
from gateway.kafka.coordinator import TRANSACTION_KEY, check, coordinator, soon
from gateway.kafka.errors import LeaderMoved
from gateway.kafka.patience import patiently
from gateway.kafka.witness import known_producer
from mesh.batch.stamp import Producer
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import Partition

TRANSACTION_TIMEOUT = i32Timedelta.parse(timedelta(minutes=1))


async def init_producer(client: Client, name: str = "") -> Producer:
    """A new producer, or that of `name` with its epoch raised; waits for a broker that has just started."""

    async def ask() -> Producer:
        node = await coordinator(client, name, TRANSACTION_KEY) if name else ANY_BROKER
        transactional_id = TransactionalId(name) if name else None
        request = InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout=TRANSACTION_TIMEOUT)
        answer = await client.call(request, InitProducerIdResponse, node)
        check(client, [int(answer.error_code)], "obtain a producer id for", name or "a writer")
        return Producer(int(answer.producer_id), int(answer.producer_epoch))

    return await soon(client, ask)


async def cut(client: Client, name: str, producer: Producer, partitions: Sequence[Partition]) -> Producer:
    """As `mesh.ports.Destination.cut`. Also PermissionMissing, BrokerRefused."""
    known = [await _known_epoch(client, producer, partition) for partition in partitions]  # refuses what is not there
    newer = await init_producer(client, name)
    if newer.id != producer.id:
        return await _cut_by_markers(client, Producer(producer.id, max([producer.epoch, *known]) + 1), partitions)
    await soon(client, lambda: _add_partitions(client, name, newer, partitions))
    await soon(client, lambda: _end(client, name, newer))
    for partition in partitions:
        await _await_marker(client, newer, partition)
    # The coordinator gives the next epoch when the markers are on all replicas in sync, not before: from here on, who
    # reads to the log's end has read all that came before the cut.
    return await init_producer(client, name)


async def _cut_by_markers(client: Client, newer: Producer, partitions: Sequence[Partition]) -> Producer:
    """Each leader answers when its marker is on all replicas in sync."""
    for partition in partitions:
        await _write_marker(client, newer, partition)
    for partition in partitions:
        await _await_marker(client, newer, partition)
    return newer


async def _add_partitions(client: Client, name: str, producer: Producer, partitions: Sequence[Partition]) -> None:
    numbers: dict[str, list[i32]] = {}
    for topic, number in partitions:
        numbers.setdefault(topic, []).append(i32(number))
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=TransactionalId(name),
        v3_and_below_producer_id=ProducerId(producer.id),
        v3_and_below_producer_epoch=i16(producer.epoch),
        v3_and_below_topics=tuple(
            AddPartitionsToTxnTopic(name=KafkaTopicName(topic), partitions=tuple(found))
            for topic, found in numbers.items()
        ),
    )
    answer = await client.call(request, AddPartitionsToTxnResponse, await coordinator(client, name, TRANSACTION_KEY))
    for result in answer.results_by_topic_v3_and_below:
        codes = [int(each.partition_error_code) for each in result.results_by_partition]
        check(client, codes, "cut the writers of", str(result.name))


async def _end(client: Client, name: str, producer: Producer) -> None:
    request = EndTxnRequest(
        transactional_id=TransactionalId(name),
        producer_id=ProducerId(producer.id),
        producer_epoch=i16(producer.epoch),
        committed=False,
    )
    answer = await client.call(request, EndTxnResponse, await coordinator(client, name, TRANSACTION_KEY))
    check(client, [int(answer.error_code)], "cut the writers of", name)


async def _known_epoch(client: Client, producer: Producer, partition: Partition) -> int:
    async def ask() -> int:
        known = await known_producer(client, partition, producer.id)
        return known[0] if known else -1

    return await patiently(client, partition, ask, client.config.request_timeout_s)


async def _write_marker(client: Client, producer: Producer, partition: Partition) -> None:
    topic = WritableTxnMarkerTopic(name=KafkaTopicName(partition.topic), partition_indexes=(i32(partition.number),))
    marker = WritableTxnMarker(
        producer_id=ProducerId(producer.id),
        producer_epoch=i16(producer.epoch),
        transaction_result=False,
        topics=(topic,),
        coordinator_epoch=i32(0),
    )

    async def ask() -> None:
        _, leader = await client.leader(partition)
        answer = await client.call(WriteTxnMarkersRequest(markers=(marker,)), WriteTxnMarkersResponse, leader.node)
        code = int(client.only(client.only(client.only(answer.markers).topics).partitions).error_code)
        if code in LEADER_UNSETTLED:
            raise LeaderMoved(*partition)
        check(client, [code], "alter: it forgot the lane's transactional id, so the cut writes a marker", "itself")

    await patiently(client, partition, ask, client.config.request_timeout_s)


async def _await_marker(client: Client, producer: Producer, partition: Partition) -> None:
    """The coordinator answers before its markers are written: the cut holds once the leader knows the epoch."""

    async def ask() -> None:
        known = await known_producer(client, partition, producer.id)
        if known is None or known[0] < producer.epoch:
            raise ClusterUnreachable(client.cluster_id, f"the cut has not reached {partition}")

    await patiently(client, partition, ask, client.config.request_timeout_s)
