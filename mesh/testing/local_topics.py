"""Topics and cursors in memory, by the rules of the local API: what `LocalGateway` serves. Pure.

Records are kept as the messages in which they are read. Errors are those of a gateway, with the same codes; where only
a gateway has the class, one is made by the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from mesh.cluster_errors import OffsetOutOfRange, PartitionAbsent, TopicAbsent, TopicExists
from mesh.ids import GroupName, TopicName
from mesh.local.errors import (
    CursorAbsent,
    CursorInUse,
    IdempotencyKeyReused,
    LeaseLost,
    PositionOutsideLog,
    RecordTooLarge,
    RequestRefused,
)
from mesh.local.v1 import local_pb2
from mesh.partitioner import by_key
from mesh.sdk.errors import Answer, GatewayError, error_of
from mesh.shares import IllegalStart, StartAt

MAX_RECORD_BYTES = 1_048_576
MAX_KEY_CHARS = 200
REPLY_BYTES = 512 * 1024


@dataclass(slots=True)
class Log:
    """One partition."""

    start: int = 0
    records: list[local_pb2.Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + len(self.records)

    def append(self, record: local_pb2.NewRecord, now_ms: int) -> int:
        kept = local_pb2.Record(
            offset=self.end,
            timestamp_ms=record.timestamp_ms if record.HasField("timestamp_ms") else now_ms,
            key=record.key if record.HasField("key") else None,
            value=record.value if record.HasField("value") else None,
            headers=record.headers,
        )
        self.records.append(kept)
        return kept.offset

    def trim(self, offset: int) -> None:
        """As retention does: what lies below `offset` is gone."""
        assert self.start <= offset <= self.end, f"the log holds {self.start} to {self.end} (exclusive)"
        self.records = self.records[offset - self.start :]
        self.start = offset

    def read(self, offset: int, max_records: int, max_bytes: int) -> list[local_pb2.Record]:
        found: list[local_pb2.Record] = []
        size_bytes = 0
        for record in self.records[offset - self.start :][:max_records]:
            size_bytes += record.ByteSize()
            if found and size_bytes > max_bytes:
                break
            found.append(record)
        return found

    def begin(self, start: StartAt) -> int:
        if start.kind == "timestamp":
            return next((each.offset for each in self.records if each.timestamp_ms >= start.value), self.end)
        return self.end if start.kind == "latest" else self.start


@dataclass(slots=True)
class LocalTopic:
    name: str
    topic_id: str
    logs: list[Log]
    mirrored_by: str = ""

    def log(self, partition: int) -> Log:
        """Raises PartitionAbsent."""
        if partition >= len(self.logs):
            raise PartitionAbsent(self.name, partition, len(self.logs))
        return self.logs[partition]


@dataclass(slots=True)
class _Cursor:
    positions: dict[int, int] = field(default_factory=dict)
    lease: str = ""
    """Of who reads by it; empty: nobody does."""


class LocalTopics:
    def __init__(self) -> None:
        self.topics: dict[str, LocalTopic] = {}
        self.max_record_bytes = MAX_RECORD_BYTES
        self._cursors: dict[tuple[str, str], _Cursor] = {}
        self._keyed: dict[tuple[str, str], tuple[bytes, local_pb2.PublishReply]] = {}
        self._leases = 0
        self._keyless = 0

    def create(self, name: str, partitions: int, mirrored_by: str = "") -> LocalTopic:
        """Raises IllegalName, TopicExists."""
        if TopicName(name) in self.topics:
            raise TopicExists(name)
        topic_id = f"{len(self.topics) + 1:032x}"
        topic = self.topics[name] = LocalTopic(name, topic_id, [Log() for _ in range(partitions)], mirrored_by)
        return topic

    def topic(self, name: str) -> LocalTopic:
        """Raises IllegalName, TopicAbsent."""
        if TopicName(name) not in self.topics:
            raise TopicAbsent(name)
        return self.topics[name]

    def grow(self, name: str, partitions: int) -> None:
        logs = self.topic(name).logs
        logs.extend(Log() for _ in range(partitions - len(logs)))

    def content(self, name: str, partition: int | None) -> list[local_pb2.PartitionRecords]:
        topic = self.topic(name)
        wanted = range(len(topic.logs)) if partition is None else [partition]
        return [
            local_pb2.PartitionRecords(partition=each, records=topic.log(each).records, next_offset=topic.log(each).end)
            for each in wanted
        ]

    # --- publish

    def publish(
        self, request: local_pb2.PublishRequest, now_ms: int, *, is_mirror: bool = False
    ) -> local_pb2.PublishReply:
        """Append all records or none."""
        topic = self.topic(request.topic)
        if topic.mirrored_by and not is_mirror:
            sentence = f"topic {topic.name!r} is written by the subscription {topic.mirrored_by!r}"
            raise refusal("topic-mirrored", sentence, "publish to another topic")
        if request.HasField("partition"):
            topic.log(request.partition)
        check_request(request)
        for index, record in enumerate(request.records):
            if record.ByteSize() > self.max_record_bytes:
                raise RecordTooLarge(index, record.ByteSize(), self.max_record_bytes)
        return self._once(topic, request, now_ms) if request.idempotency_key else self._append(topic, request, now_ms)

    def _once(self, topic: LocalTopic, request: local_pb2.PublishRequest, now_ms: int) -> local_pb2.PublishReply:
        """Under its key: what was appended before is answered as it was then."""
        key = (topic.name, request.idempotency_key)
        content = request.SerializeToString(deterministic=True)
        known_content, reply = self._keyed.get(key, (content, None))
        if known_content != content:
            raise IdempotencyKeyReused(request.idempotency_key)
        if reply is None:
            reply = self._append(topic, request, now_ms)
            self._keyed[key] = (content, reply)
            return reply
        return local_pb2.PublishReply(placed=reply.placed, repeated_request=True)

    def _append(self, topic: LocalTopic, request: local_pb2.PublishRequest, now_ms: int) -> local_pb2.PublishReply:
        placed: list[local_pb2.Placed] = []
        for partition, record in zip(self._places(topic, request), request.records, strict=True):
            offset = topic.logs[partition].append(record, now_ms)
            last = placed[-1] if placed else None
            if last is not None and last.partition == partition and last.first_offset + last.count == offset:
                last.count += 1
            else:
                placed.append(local_pb2.Placed(partition=partition, first_offset=offset, count=1))
        return local_pb2.PublishReply(placed=placed)

    def _places(self, topic: LocalTopic, request: local_pb2.PublishRequest) -> Iterator[int]:
        """The partition of each record: as stated, or by its key; those without one go together."""
        partitions = len(topic.logs)
        key = request.idempotency_key
        self._keyless += 1
        keyless = crc32(key.encode()) % partitions if key else self._keyless % partitions
        choose = by_key(partitions)
        for record in request.records:
            if request.HasField("partition"):
                yield request.partition
            else:
                yield choose(record.key) if record.HasField("key") else keyless

    # --- read

    def begin(self, query: local_pb2.ReadRequest) -> tuple[dict[int, int], str]:
        """Where each partition begins, and the lease where there is a cursor."""
        topic = self.topic(query.topic)
        for partition in query.partitions:
            topic.log(partition)
        start = StartAt.parse(query.start or "earliest")
        if start.kind == "offset":
            raise IllegalStart(query.start)
        stated = {each.partition: each.offset for each in query.positions}
        for partition in stated:
            topic.log(partition)
        if query.partitions and (unread := stated.keys() - set(query.partitions)):
            raise RequestRefused("positions", f"partition {min(unread)} is none that is to be read")
        cursor = self._cursor(query.cursor, query.topic) if query.cursor else _Cursor()
        if cursor.lease:
            raise CursorInUse(query.cursor, query.topic)
        known = {**cursor.positions, **stated}
        wanted = query.partitions or range(len(topic.logs))
        positions = {number: known.get(number, topic.log(number).begin(start)) for number in wanted}
        for number, offset in positions.items():
            check_position(topic, number, offset)
        if not query.cursor:
            return positions, ""
        self._leases += 1
        cursor.lease = f"lease-{self._leases}"
        return positions, cursor.lease

    def added(self, query: local_pb2.ReadRequest, positions: Mapping[int, int]) -> Iterable[int]:
        """Partitions that were added since the reading began, and belong to it."""
        return () if query.partitions else range(len(positions), len(self.topic(query.topic).logs))

    # --- cursors

    def cursor(self, name: str, topic: str) -> local_pb2.Cursor:
        self.topic(topic)
        found = self._cursors.get((GroupName(name), topic))
        if found is None or not (found.positions or found.lease):
            raise CursorAbsent(name, topic)
        positions = [local_pb2.Position(partition=number, offset=at) for number, at in sorted(found.positions.items())]
        return local_pb2.Cursor(name=name, topic=topic, positions=positions, is_read=bool(found.lease))

    def commit(self, request: local_pb2.CommitRequest) -> None:
        """All positions or none."""
        topic = self.topic(request.topic)
        cursor = self._cursor(request.cursor, request.topic)
        if cursor.lease != request.lease:
            raise (LeaseLost if request.lease else CursorInUse)(request.cursor, request.topic)
        for position in request.positions:
            end = topic.log(position.partition).end
            if not 0 <= position.offset <= end:
                raise PositionOutsideLog(request.topic, position.partition, position.offset, end)
        cursor.positions |= {each.partition: each.offset for each in request.positions}

    def delete_cursor(self, name: str, topic: str) -> None:
        if self.cursor(name, topic).is_read:
            raise CursorInUse(name, topic)
        del self._cursors[name, topic]

    def release(self, query: local_pb2.ReadRequest, lease: str) -> None:
        """Who read by the cursor under `lease` reads no more."""
        cursor = self._cursors.get((query.cursor, query.topic))
        if cursor is not None and cursor.lease == lease:
            cursor.lease = ""

    def release_all(self) -> None:
        for cursor in self._cursors.values():
            cursor.lease = ""

    def _cursor(self, name: str, topic: str) -> _Cursor:
        return self._cursors.setdefault((GroupName(name), topic), _Cursor())


def check_request(request: local_pb2.PublishRequest) -> None:
    """What needs no topic to be judged. Raises RequestRefused."""
    if not request.records:
        raise RequestRefused("records", "there are none")
    key = request.idempotency_key
    if len(key) > MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise RequestRefused("idempotency_key", f"it has up to {MAX_KEY_CHARS} printable ASCII characters and no space")
    for index, record in enumerate(request.records):
        if record.timestamp_ms < 0:
            raise RequestRefused("timestamp_ms", f"that of record {index} is not in milliseconds since 1970")


def check_position(topic: LocalTopic, partition: int, offset: int) -> None:
    log = topic.log(partition)
    if not log.start <= offset <= log.end:
        raise OffsetOutOfRange(topic.name, partition, offset, log.start, log.end)


def refusal(code: str, sentence: str, remedy: str = "") -> GatewayError:
    """A refusal whose class only a gateway has."""
    return error_of(Answer(code, sentence, remedy, "caller"))


def parts(
    topic: LocalTopic, positions: Mapping[int, int], ends: Mapping[int, int] | None, max_records: int, max_bytes: int
) -> Sequence[local_pb2.PartitionRecords]:
    """What makes one reply: records from `positions` on, of at most so many; none where there are none."""
    found: list[local_pb2.PartitionRecords] = []
    for number, offset in positions.items():
        log = topic.log(number)
        room = min(max_records, ends[number] - offset) if ends is not None else max_records
        records = log.read(offset, max(room, 0), max_bytes)
        if records:
            next_offset = records[-1].offset + 1
            found.append(local_pb2.PartitionRecords(partition=number, records=records, next_offset=next_offset))
            max_records -= len(records)
            max_bytes -= sum(record.ByteSize() for record in records)
        if max_records <= 0 or max_bytes <= 0:
            break
    return found
