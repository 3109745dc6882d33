"""The local API as a test calls it: plain gRPC by the protocol, no SDK, so that the protocol itself is tested."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf.message import Message

from mesh.local.names import ERROR_METADATA, TOKEN_METADATA
from mesh.local.v1 import local_pb2 as pb

SERVICE = "/mesh.local.v1.Local/"
TIMEOUT_S = 40.0


class Refused(Exception):
    """A call that ended with an error: its gRPC status and the Error message."""

    def __init__(self, status: str, error: pb.Error) -> None:
        super().__init__(f"{status}: {error.code}: {error.sentence}")
        self.status, self.error, self.code = status, error, error.code


class Got(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass
class Stream:
    """A reading under way."""

    call: Any
    positions: Mapping[int, int]
    lease: str
    ends: dict[int, int]
    """Where the reader stands in each partition."""

    async def reply(self) -> list[Got] | None:
        """The records of the next reply, None at the end. Raises Refused."""
        message = await told(self.call.read())
        if message is grpc.aio.EOF:
            return None
        self.ends |= {part.partition: part.next_offset for part in message.parts}
        return [got(part.partition, record) for part in message.parts for record in part.records]

    async def take(self, count: int) -> list[Got]:
        """At least so many records."""
        found: list[Got] = []
        while len(found) < count and (reply := await self.reply()) is not None:
            found += reply
        return found

    async def rest(self) -> list[Got]:
        found: list[Got] = []
        while (reply := await self.reply()) is not None:
            found += reply
        return found


@dataclass
class LocalCalls:
    """Calls over one channel, with one token."""

    channel: grpc.aio.Channel
    token: str

    async def ask(self, name: str, request: Message, reply: type[Message]) -> Any:
        """Raises Refused."""
        call = self.channel.unary_unary(
            SERVICE + name, request_serializer=serialized, response_deserializer=reply.FromString
        )
        return await told(call(request, metadata=self.metadata, timeout=TIMEOUT_S))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return ((TOKEN_METADATA, self.token),)

    async def publish(self, topic: str, records: Iterable[Any], *, key: str = "", partition: int | None = None) -> Any:
        return await self.ask("Publish", publish_request(topic, records, key, partition), pb.PublishReply)

    async def publish_many(self, requests: Iterable[pb.PublishRequest]) -> tuple[list[pb.PublishReply], Refused | None]:
        """The answers, and with what it ended."""
        call = self.channel.stream_stream(
            f"{SERVICE}PublishMany", request_serializer=serialized, response_deserializer=pb.PublishReply.FromString
        )(iter(list(requests)), metadata=self.metadata, timeout=TIMEOUT_S)
        found: list[pb.PublishReply] = []
        try:
            while (reply := await told(call.read())) is not grpc.aio.EOF:
                found.append(reply)
        except Refused as refused:
            return found, refused
        return found, None

    @asynccontextmanager
    async def read(self, topic: str, **query: Any) -> AsyncIterator[Stream]:
        """Raises Refused."""
        positions = [pb.Position(partition=number, offset=at) for number, at in query.pop("positions", {}).items()]
        call = self.channel.unary_stream(
            f"{SERVICE}Read", request_serializer=serialized, response_deserializer=pb.ReadReply.FromString
        )(pb.ReadRequest(topic=topic, positions=positions, **query), metadata=self.metadata, timeout=TIMEOUT_S)
        try:
            begun = (await told(call.read())).begun
            at = {each.partition: each.offset for each in begun.positions}
            yield Stream(call, at, begun.lease, dict(at))
        finally:
            call.cancel()

    async def all_of(self, topic: str, **query: Any) -> list[Got]:
        """What the topic holds now."""
        async with self.read(topic, until_end=True, **query) as stream:
            return await stream.rest()

    async def commit(self, cursor: str, topic: str, positions: Mapping[int, int], lease: str = "") -> None:
        messages = [pb.Position(partition=number, offset=at) for number, at in positions.items()]
        request = pb.CommitRequest(cursor=cursor, topic=topic, positions=messages, lease=lease)
        await self.ask("Commit", request, pb.CommitReply)

    async def cursor(self, cursor: str, topic: str) -> dict[int, int]:
        found = await self.ask("GetCursor", pb.GetCursorRequest(cursor=cursor, topic=topic), pb.Cursor)
        return {each.partition: each.offset for each in found.positions}

    async def delete_cursor(self, cursor: str, topic: str) -> None:
        await self.ask("DeleteCursor", pb.DeleteCursorRequest(cursor=cursor, topic=topic), pb.DeleteCursorReply)


def publish_request(
    topic: str, records: Iterable[Any], key: str = "", partition: int | None = None
) -> pb.PublishRequest:
    """Records are messages, values, or pairs of key and value."""
    return pb.PublishRequest(
        topic=topic, records=[record_of(each) for each in records], idempotency_key=key, partition=partition
    )


def record_of(given: Any) -> pb.NewRecord:
    if isinstance(given, pb.NewRecord):
        return given
    key, value = given if isinstance(given, tuple) else (None, given)
    return pb.NewRecord(key=key, value=value)


def placed(reply: pb.PublishReply) -> list[tuple[int, int]]:
    """Partition and offset of each record."""
    return [(each.partition, each.first_offset + n) for each in reply.placed for n in range(each.count)]


def got(partition: int, record: pb.Record) -> Got:
    key = record.key if record.HasField("key") else None
    return Got(partition, record.offset, key, record.value if record.HasField("value") else None)


def values(found: Sequence[Got]) -> list[bytes | None]:
    return [each.value for each in found]


def serialized(message: Message) -> bytes:
    return message.SerializeToString()


async def told(answer: Any) -> Any:
    """What was answered. Raises Refused."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await answer
    except grpc.aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ()).get(ERROR_METADATA, b"")
        assert isinstance(details, bytes)
        raise Refused(error.code().name, pb.Error.FromString(details)) from error
