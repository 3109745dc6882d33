"""Answers of a broker as our own protocol client reads them: the two hot messages packed by hand, and kio's typed ones.

A broker is trusted with data, not with our life: garbage closes the connection with a documented error. The bytes go
through a real `Connection`, whose transport is a list, behind a right size and correlation id, mostly.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import struct
import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, NamedTuple, cast
from uuid import UUID

from kio.schema.errors import ErrorCode
from kio.schema.metadata.v12 import MetadataResponse
from kio.serial import entity_writer

from gateway.kafka.connection import Api, Connection
from gateway.kafka.fetches import read_answer
from gateway.kafka.messages import call
from gateway.kafka.metadata import brokers_of, topic_of
from gateway.kafka.produce_message import parse_produce
from mesh.errors import MeshError
from tests.fuzz.findings import ACCEPTED, said
from tests.fuzz.mutate import mutated

_KINDS = {
    "metadata.v12": "Metadata", "api_versions.v3": "ApiVersions", "list_offsets.v7": "ListOffsets",
    "describe_producers.v0": "DescribeProducers", "describe_groups.v5": "DescribeGroups", "join_group.v5": "JoinGroup",
    "sync_group.v5": "SyncGroup", "init_producer_id.v4": "InitProducerId", "offset_fetch.v7": "OffsetFetch",
    "describe_configs.v4": "DescribeConfigs", "create_topics.v7": "CreateTopics", "list_groups.v4": "ListGroups",
    "find_coordinator.v3": "FindCoordinator", "sasl_authenticate.v2": "SaslAuthenticate",
    "offset_commit.v8": "OffsetCommit", "add_partitions_to_txn.v3": "AddPartitionsToTxn",
    "write_txn_markers.v1": "WriteTxnMarkers",
}  # fmt: skip
_PATIENCE_S = 5.0
MAX_RESPONSE_BYTES = 1 << 20


class _Kind(NamedTuple):
    request: Any
    response: type[Any]
    answer: bytes


@cache
def _kinds() -> dict[str, _Kind]:
    found = {}
    for module, name in _KINDS.items():
        of = importlib.import_module(f"kio.schema.{module}")
        request, response = getattr(of, f"{name}Request"), getattr(of, f"{name}Response")
        out = io.BytesIO()
        entity_writer(response)(out, example(response))
        head = b"\0" if response.__header_schema__.__flexible__ else b""
        found[name] = _Kind(example(request), response, head + out.getvalue())
    return found


def example(kind: Any) -> Any:
    """A value of a message's type, each list with two elements."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return example(next(each for each in typing.get_args(kind) if each is not type(None)))
    if origin is tuple:
        return (example(typing.get_args(kind)[0]),) * 2
    if is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{field.name: example(hints[field.name]) for field in fields(kind) if field.init})
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    for base, value in _PLAIN.items():
        if isinstance(kind, type) and base in kind.__mro__:
            return value
    bound = getattr(kind, "__bound__", None) or getattr(kind, "__bounds__", None)
    for base, value in _PLAIN.items():
        if bound is not None and base in (bound if isinstance(bound, tuple) else (bound,)):
            return value
    raise TypeError(f"no example of {kind!r}")


_PLAIN: dict[type, Any] = {
    bool: True, ErrorCode: ErrorCode.none, int: 1, str: "name", bytes: b"bytes", UUID: UUID(int=7),
    timedelta: timedelta(milliseconds=5), datetime: datetime(2026, 1, 1, tzinfo=UTC), float: 1.5,
}  # fmt: skip


@cache
def _fetch_answer() -> bytes:
    batch = bytes(range(70))
    head = struct.pack(">ihi", 0, 0, 0)
    part = struct.pack(">ihqqq", 0, 0, 9, 9, 0) + b"\2" + struct.pack(">qqB", 7, 3, 0) + struct.pack(">i", -1)
    part += bytes([len(batch) + 1]) + batch + b"\1\0\x0d" + struct.pack(">iq", 3, 5) + b"\0"
    return b"\0" + head + b"\2" + bytes(16) + b"\3" + part * 2 + b"\0" + b"\0"


@cache
def _produce_answer() -> bytes:
    part = struct.pack(">ihqqq", 0, 0, 9, -1, 0) + b"\2" + struct.pack(">i", 1) + b"\5word\0" + b"\6whole" + b"\0"
    return b"\0" + b"\2" + b"\6topic" + b"\3" + part * 2 + b"\0" + struct.pack(">i", 0) + b"\0"


def broker_mutant(random: Random) -> bytes:
    """`NAME\\n` and what the broker sends, size and correlation id included."""
    name = random.choice(["Fetch"] * 4 + ["Produce"] * 4 + list(_kinds()))
    plain = {"Fetch": _fetch_answer, "Produce": _produce_answer}.get(name)
    body = mutated(plain() if plain else _kinds()[name].answer, random) if random.random() < 0.97 else b""
    sent = (len(body) + 4).to_bytes(4, "big") + (1).to_bytes(4, "big") + body
    if random.random() < 0.05:
        sent = mutated(sent, random)
    return name.encode() + b"\n" + sent


class _Wires(asyncio.Transport):
    """A transport that keeps nothing."""

    def writelines(self, list_of_data: Any) -> None: ...
    def abort(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def check_broker(data: bytes) -> str:
    name, _, sent = data.partition(b"\n")
    return _loop().run_until_complete(_answered(name.decode("utf-8", "replace"), sent))


async def _answered(name: str, sent: bytes) -> str:
    connection = Connection("broker:9092", "fuzz", MAX_RESPONSE_BYTES)
    connection.connection_made(_Wires())
    kind = _kinds().get(name)
    try:
        if kind is not None:
            asked: Any = asyncio.ensure_future(call(connection, kind.request, kind.response, _PATIENCE_S))
        else:
            asked = connection.send(Api(1, 13), [b""])
        await asyncio.sleep(0)
        _feed(connection, sent)
        if not asked.done() and not connection.waiting:
            await asyncio.sleep(0)
        if connection.waiting:
            connection.connection_lost(None)
        value = await asked
        if kind is None:
            _read_hot(name, connection, value)
        elif isinstance(value, MetadataResponse):
            brokers_of(value)
            _ = [topic_of(each) for each in value.topics]
    except MeshError as error:
        return said(error)
    return ACCEPTED


def _read_hot(name: str, connection: Connection, value: memoryview) -> None:
    if name == "Fetch":
        read_answer(connection, value)
        return
    try:
        parse_produce(value)
    except (ValueError, IndexError, struct.error) as error:  # as `gateway.kafka.appends` catches it
        connection.abort(str(error))


def _feed(connection: Connection, sent: Sequence[int]) -> None:
    """The bytes as a socket hands them over, as many at once as there is room."""
    left = bytes(cast(bytes, sent))
    while left and not connection.closed:
        room = connection.get_buffer(-1)
        size = min(len(room), len(left))
        room[:size] = left[:size]
        connection.buffer_updated(size)
        left = left[size:]
