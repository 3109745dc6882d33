"""The messages of `mesh.local.v1`, to and from the values of the local API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.local.values import (
    Begun,
    Cursor,
    LocalStatus,
    LocalSubscription,
    LocalTopic,
    NewRecord,
    OfferedTopics,
    Outcome,
    PartitionRecords,
    Published,
    PublishRequest,
    ReadQuery,
    Translation,
)
from mesh.lanes.status import LaneStatus
from mesh.local.errors import RequestRefused, message_of
from mesh.local.v1 import local_pb2


def publish_request(message: local_pb2.PublishRequest) -> PublishRequest:
    partition = message.partition if message.HasField("partition") else None
    records = [_record(each) for each in message.records]
    return PublishRequest(message.topic, records, partition, message.idempotency_key, message.key_is_local)


def _record(message: local_pb2.NewRecord) -> NewRecord:
    headers = (
        tuple((each.name, each.value if each.HasField("value") else None) for each in message.headers)
        if message.headers
        else ()
    )
    return NewRecord(
        message.key if message.HasField("key") else None,
        message.value if message.HasField("value") else None,
        headers,
        message.timestamp_ms if message.HasField("timestamp_ms") else None,
    )


def publish_reply(published: Published) -> local_pb2.PublishReply:
    placed = [
        local_pb2.Placed(partition=each.partition, first_offset=each.first_offset, count=each.count)
        for each in published.placed
    ]
    return local_pb2.PublishReply(placed=placed, repeated_request=published.repeated_request)


def outcome_reply(outcome: Outcome) -> local_pb2.PublishReply:
    reply = publish_reply(outcome.published)
    if outcome.error is not None:
        reply.error.CopyFrom(message_of(outcome.error))
    return reply


def read_query(message: local_pb2.ReadRequest) -> ReadQuery:
    return ReadQuery(
        topic=message.topic,
        partitions=tuple(message.partitions),
        start=message.start,
        positions=positions(message.positions),
        cursor=message.cursor,
        until_end=message.until_end,
        max_records=message.max_records,
        max_bytes=message.max_bytes,
    )


def positions(messages: Iterable[local_pb2.Position]) -> dict[int, int]:
    """Raises RequestRefused where a partition is named twice."""
    found: dict[int, int] = {}
    for each in messages:
        if each.partition in found:
            raise RequestRefused("positions", f"partition {each.partition} is there twice")
        found[each.partition] = each.offset
    return found


def _positions(found: Mapping[int, int]) -> list[local_pb2.Position]:
    return [local_pb2.Position(partition=number, offset=offset) for number, offset in sorted(found.items())]


def begun(value: Begun) -> local_pb2.ReadReply:
    return local_pb2.ReadReply(begun=local_pb2.ReadBegun(positions=_positions(value.positions), lease=value.lease))


def read_reply(parts: Sequence[PartitionRecords]) -> local_pb2.ReadReply:
    reply = local_pb2.ReadReply()
    for part in parts:
        message = reply.parts.add(partition=part.partition, next_offset=part.next_offset)
        for record in part.records:
            added = message.records.add(
                offset=record.offset, timestamp_ms=record.timestamp_ms, key=record.key, value=record.value
            )
            for name, value in record.headers:
                added.headers.add(name=name, value=value)
    return reply


def cursor(value: Cursor) -> local_pb2.Cursor:
    return local_pb2.Cursor(
        name=value.name, topic=value.topic, positions=_positions(value.positions), is_read=value.is_read
    )


def topics_reply(values: Sequence[LocalTopic]) -> local_pb2.TopicsReply:
    return local_pb2.TopicsReply(
        topics=[
            local_pb2.Topic(
                name=each.name, partitions=each.partitions, topic_id=each.topic_id, mirrored_by=each.mirrored_by
            )
            for each in values
        ]
    )


def catalog_reply(value: OfferedTopics) -> local_pb2.CatalogReply:
    return local_pb2.CatalogReply(
        topics=[local_pb2.SharedTopic(**each._asdict()) for each in value.topics],
        unasked=[local_pb2.Unasked(peer=each.peer, error=message_of(each.error)) for each in value.unasked],
    )


def subscription(value: LocalSubscription) -> local_pb2.Subscription:
    return local_pb2.Subscription(
        name=value.name, peer=value.peer, share=value.share, state=value.state, topics=value.topics
    )


def subscriptions_reply(values: Sequence[LocalSubscription]) -> local_pb2.SubscriptionsReply:
    return local_pb2.SubscriptionsReply(subscriptions=[subscription(each) for each in values])


def translate_reply(value: Translation) -> local_pb2.TranslateReply:
    return local_pb2.TranslateReply(
        kind=value.kind,
        source_offset=value.source_offset,
        destination_offset=value.destination_offset,
        reason=value.reason,
    )


def status_reply(value: LocalStatus) -> local_pb2.StatusReply:
    return local_pb2.StatusReply(
        organization=value.organization,
        gateway=value.gateway,
        version=value.version,
        ready=value.ready,
        troubles=value.troubles,
        lanes=[_lane(each) for each in value.lanes],
    )


def _lane(value: LaneStatus) -> local_pb2.Lane:
    return local_pb2.Lane(
        subscription=value.lane.subscription,
        peer=value.peer,
        topic=value.lane.topic,
        partition=value.lane.partition,
        state=value.state.value,
        reason=value.reason,
        remedy=value.remedy,
        lag_records=value.lag_records,
        lag_s=value.lag_s,
    )
