"""Reads an answer's bytes into `kio`'s typed message, without believing a count that it states.

kio's own compiled reader makes room for as many elements as an array says it has, before it reads the first: five bytes
are enough to end the process, and no exception is raised that could be caught. So the arrays and structures are read
here, by the message's own fields as kio describes them, and kio's readers are left the plain values, which they measure
against the bytes that there are. There is one reader for every message; none knows a message by name.

Invariants: an array holds no more elements than bytes are left, for each takes at least one; the memory taken follows
the bytes received. Tagged fields that the message does not know are passed over, as the protocol demands.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from functools import cache
from typing import Any, TypeAlias, TypeVar

from kio.serial import readers
from kio.serial.errors import SerialError

from gateway.kafka.wire import read_tags

Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""Takes the bytes and a position; returns the value and, as kio does, how many bytes it takes."""
Entity = TypeVar("Entity")

UNREADABLE = (SerialError, ValueError, IndexError, OverflowError)
"""What a reader raises of bytes that are no such message; OverflowError: a time beyond what a date can be."""

_PLAIN: Mapping[str, Reader] = {
    "bool": readers.read_boolean,
    "int8": readers.read_int8,
    "int16": readers.read_int16,
    "int32": readers.read_int32,
    "int64": readers.read_int64,
    "uint8": readers.read_uint8,
    "uint16": readers.read_uint16,
    "uint32": readers.read_uint32,
    "uint64": readers.read_uint64,
    "float64": readers.read_float64,
    "uuid": readers.read_uuid,
    "error_code": readers.read_error_code,
    "timedelta_i32": readers.read_timedelta_i32,
    "timedelta_i64": readers.read_timedelta_i64,
}
_DATES: Mapping[bool, Reader] = {False: readers.read_datetime_i64, True: readers.read_nullable_datetime_i64}
_STRINGS: Mapping[tuple[bool, bool], Reader] = {
    (True, False): readers.read_compact_string,
    (True, True): readers.read_compact_string_nullable,
    (False, False): readers.read_legacy_string,
    (False, True): readers.read_nullable_legacy_string,
}
_BYTES: Mapping[tuple[bool, bool], Reader] = {
    (True, False): readers.read_compact_string_as_bytes,
    (True, True): readers.read_compact_string_as_bytes_nullable,
    (False, False): readers.read_legacy_bytes,
    (False, True): readers.read_nullable_legacy_bytes,
}
"""By whether the message is flexible, and whether the value may be null."""


def reader_of(kind: type[Entity]) -> Callable[[bytes, int], tuple[Entity, int]]:
    """The reader of a message or structure of kio's. What it returns raises one of UNREADABLE."""
    made: Any = kind
    return _reader_of(made)


@cache
def _reader_of(kind: Any) -> Reader:
    untagged: list[tuple[str, Reader]] = []
    tagged: dict[int, tuple[str, Reader]] = {}
    for field in fields(kind):
        tag = field.metadata.get("tag")
        if tag is None:
            untagged.append((field.name, _of_field(field, kind.__flexible__, tagged=False)))
        else:
            tagged[tag] = (field.name, _of_field(field, kind.__flexible__, tagged=True))

    def read(data: bytes, at: int) -> tuple[Any, int]:
        found, start = {}, at
        for name, reader in untagged:
            found[name], size = reader(data, at)
            at += size
        if kind.__flexible__:
            at = _read_tagged(data, at, tagged, found)
        return kind(**found), at - start

    return read


def _read_tagged(data: bytes, at: int, tagged: Mapping[int, tuple[str, Reader]], found: dict[str, Any]) -> int:
    """The position after them."""
    if not data[at]:  # nearly always
        return at + 1
    tags, at = read_tags(memoryview(data), at)
    if at > len(data):
        raise ValueError("a tagged field is longer than the answer")
    for tag, content in tags.items():
        if tag in tagged:
            name, reader = tagged[tag]
            found[name], size = reader(bytes(content), 0)
            if size != len(content):
                raise ValueError(f"the tagged field {name} is of {size} bytes, and said to be of {len(content)}")
    return at


def _of_field(field: Field[Any], flexible: bool, *, tagged: bool) -> Reader:
    """Values in tagged fields have no null of their own: they are left out."""
    kind, nullable = _without_none(field.type)
    written = field.metadata.get("kafka_type", "")
    if typing.get_origin(kind) is tuple:
        element, _ = _without_none(typing.get_args(kind)[0])
        return _array(_of_value(element, written, flexible, nullable=False), flexible, nullable)
    return _of_value(kind, written, flexible, nullable and not tagged)


def _without_none(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return kind, False
    inner, *more = (each for each in typing.get_args(kind) if each is not types.NoneType)
    assert not more, f"kio knows no other unions than with None: {kind}"
    return inner, True


def _of_value(kind: Any, written: str, flexible: bool, nullable: bool) -> Reader:
    if not written:  # kio gives no type to structures alone
        reader = _reader_of(kind)
        return _structure_or_null(reader) if nullable else reader
    if written == "string":
        return _STRINGS[flexible, nullable]
    if written in ("bytes", "records"):
        return _BYTES[flexible, nullable]
    return _DATES[nullable] if written == "datetime_i64" else _PLAIN[written]


def _structure_or_null(reader: Reader) -> Reader:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        marker, _ = readers.read_int8(data, at)
        if marker == -1:
            return None, 1
        if marker != 1:
            raise ValueError(f"neither a structure nor null: {marker}")
        value, size = reader(data, at + 1)
        return value, size + 1

    return read


def _array(element: Reader, flexible: bool, nullable: bool) -> Reader:
    read_count: Reader = readers.read_compact_array_length if flexible else readers.read_legacy_array_length

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...] | None, int]:
        count, size = read_count(data, at)
        start, at = at, at + size
        if count is None or count == -1:
            if nullable:
                return None, size
            raise ValueError("null in place of an array")
        if not 0 <= count <= len(data) - at:
            raise ValueError(f"an array of {count} elements in {len(data) - at} bytes")
        found = []
        for _ in range(count):
            value, size = element(data, at)
            at += size
            found.append(value)
        return tuple(found), at - start

    return read
