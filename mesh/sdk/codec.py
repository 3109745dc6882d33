"""Between the values of the SDK and the messages of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mesh.local.names import KEY_HEADER
from mesh.local.v1 import local_pb2
from mesh.sdk.connection import answer_of
from mesh.sdk.errors import error_of
from mesh.sdk.values import (
    Batch,
    Bytes,
    Catalog,
    Cursor,
    Headers,
    Lane,
    NewRecord,
    Published,
    Record,
    SharedTopic,
    Status,
    Subscription,
    Topic,
    Translation,
)

RECORD_OVERHEAD_BYTES = 64
"""Of one record in memory and on its way, about, beside its content."""


def message_of(given: NewRecord | Bytes) -> local_pb2.NewRecord:
    """A value alone is a record, too. Raises as `message`."""
    record = given if isinstance(given, NewRecord) else NewRecord(given)
    return message(record.value, record.key, record.headers, record.timestamp_ms)


def message(value: Bytes, key: Bytes, headers: Headers, timestamp_ms: int | None) -> local_pb2.NewRecord:
    """Raises TypeError for what is neither bytes, text nor None, ValueError for a timestamp that is none."""
    made = local_pb2.NewRecord(key=to_bytes(key), value=to_bytes(value), timestamp_ms=timestamp_ms)
    for name, content in headers:
        made.headers.add(name=name, value=to_bytes(content))
    return made


def to_bytes(value: Bytes) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"a key or value is bytes, text or None, not {type(value).__name__}")


def size_of(made: local_pb2.NewRecord) -> int:
    return made.ByteSize() + RECORD_OVERHEAD_BYTES


def published(reply: local_pb2.PublishReply) -> Iterator[Published]:
    """Of each record of the request, in its order."""
    repeated = reply.repeated_request
    for placed in reply.placed:
        partition = placed.partition
        for offset in range(placed.first_offset, placed.first_offset + placed.count):
            yield Published(partition, offset, repeated)


def batch_of(topic: str, part: local_pb2.PartitionRecords) -> Batch:
    partition = part.partition
    records = [
        Record(
            topic,
            partition,
            record.offset,
            record.timestamp_ms,
            record.key if record.HasField("key") else None,
            record.value if record.HasField("value") else None,
            _headers(record.headers) if record.headers else (),
        )
        for record in part.records
    ]
    return Batch(topic, partition, records, part.next_offset)


def _headers(headers: Iterable[local_pb2.Header]) -> tuple[tuple[str, bytes | None], ...]:
    return tuple(
        (header.name, header.value if header.HasField("value") else None)
        for header in headers
        if header.name != KEY_HEADER  # no part of what the application published
    )


def positions_of(messages: Iterable[local_pb2.Position]) -> dict[int, int]:
    return {message.partition: message.offset for message in messages}


def positions(given: Mapping[int, int]) -> list[local_pb2.Position]:
    return [local_pb2.Position(partition=partition, offset=offset) for partition, offset in given.items()]


def cursor_of(message: local_pb2.Cursor) -> Cursor:
    return Cursor(message.name, message.topic, positions_of(message.positions), message.is_read)


def topic_of(message: local_pb2.Topic) -> Topic:
    return Topic(message.name, message.partitions, message.topic_id, message.mirrored_by)


def catalog_of(reply: local_pb2.CatalogReply) -> Catalog:
    topics = [SharedTopic(each.peer, each.share, each.topic, each.partitions) for each in reply.topics]
    return Catalog(topics, {each.peer: error_of(answer_of(each.error)) for each in reply.unasked})


def subscription_of(message: local_pb2.Subscription) -> Subscription:
    return Subscription(message.name, message.peer, message.share, message.state, dict(message.topics))


def translation_of(reply: local_pb2.TranslateReply) -> Translation:
    return Translation(
        reply.kind,
        reply.source_offset if reply.HasField("source_offset") else None,
        reply.destination_offset if reply.HasField("destination_offset") else None,
        reply.reason,
    )


def status_of(reply: local_pb2.StatusReply) -> Status:
    return Status(
        reply.organization,
        reply.gateway,
        reply.version,
        reply.ready,
        list(reply.troubles),
        [_lane(lane) for lane in reply.lanes],
    )


def _lane(lane: local_pb2.Lane) -> Lane:
    return Lane(
        lane.subscription,
        lane.peer,
        lane.topic,
        lane.partition,
        lane.state,
        lane.reason,
        lane.remedy,
        lane.lag_records if lane.HasField("lag_records") else None,
        lane.lag_s if lane.HasField("lag_s") else None,
    )
