"""Decodes record batches as they lie in a log: the judge's own decoder, strict where consumers break.

What follows is format 2. Messages of the formats 0 and 1 (`tests.verifier.old`) are given as batches without a
producer.

    at  field               type      at  field                type
     0  base offset         i64       27  base timestamp       i64
     8  length after this   i32       35  largest timestamp    i64
    12  leader epoch        i32       43  producer id          i64
    16  magic, 2            i8        51  producer epoch       i16
    17  CRC-32C of 21…end   u32       53  base sequence        i32
    21  attributes          i16       57  records              i32
    23  last offset delta   i32       61  records, packed as one block

A cut batch at the end of a file is left out: fetches end so. Everything else that does not fit is `Damaged`, with the
place; reading goes on behind it as long as its length can be believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO, NamedTuple

from crc32c import crc32c

from tests.verifier import old
from tests.verifier.codecs import unpack

HEADER = Struct(">qiibIhiqqqhii")
HEADER_BYTES = 61
_UNCOVERED_BYTES = 12
_CRC_FROM = 21
_MAGIC_AT = 16
_BATCH_LIMIT_BYTES = 1 << 30

CODEC_BITS, APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
ABORT, COMMIT = 0, 1


class Header(NamedTuple):
    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_delta


class Record(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]


@dataclass(frozen=True, slots=True)
class Batch:
    header: Header
    records: list[Record]
    position: int
    """In the file, in bytes."""


@dataclass(frozen=True, slots=True)
class Damaged:
    position: int
    offset: int
    why: str


def read_batches(file: BinaryIO) -> Iterator[Batch | Damaged]:
    position = 0
    while len(front := file.read(_UNCOVERED_BYTES)) == _UNCOVERED_BYTES:
        offset, length = int.from_bytes(front[:8], "big", signed=True), int.from_bytes(front[8:], "big", signed=True)
        if not old.LEAST_BYTES <= length <= _BATCH_LIMIT_BYTES:
            yield Damaged(position, offset, f"a batch cannot have the length {length}")
            return
        rest = file.read(length)
        if len(rest) < length:
            return
        try:
            yield decode(front + rest, position)
        except ValueError as error:
            yield Damaged(position, offset, str(error))
        position += _UNCOVERED_BYTES + length


def decode(raw: bytes, position: int = 0) -> Batch:
    """A whole batch. Raises ValueError saying what does not fit."""
    if len(raw) > _MAGIC_AT and raw[_MAGIC_AT] in (0, 1):
        return _of_old(raw, position)
    if len(raw) < HEADER_BYTES:
        raise ValueError(f"a batch has {len(raw)} bytes, its header alone {HEADER_BYTES}")
    header = Header._make(HEADER.unpack_from(raw))
    if header.magic != 2:
        raise ValueError(f"format {header.magic} is not 2")
    if crc32c(raw[_CRC_FROM:]) != header.crc:
        raise ValueError("the CRC is wrong")
    opened = unpack(header.attributes & CODEC_BITS, raw[HEADER_BYTES:])
    try:
        records = _records(header, opened)
    except IndexError:
        raise ValueError("a record ends beyond its batch") from None
    return Batch(header, records, position)


def _of_old(raw: bytes, position: int) -> Batch:
    outer, messages = old.messages_in(raw)
    first, latest_ms = messages[0].offset, max(each.timestamp_ms for each in messages)
    attributes = outer.attributes & (CODEC_BITS | APPEND_TIME)
    numbers = (attributes, outer.offset - first, messages[0].timestamp_ms, latest_ms, -1, -1, -1, len(messages))
    header = Header(first, len(raw) - _UNCOVERED_BYTES, -1, outer.magic, 0, *numbers)
    return Batch(
        header, [Record(each.offset, each.timestamp_ms, each.key, each.value, []) for each in messages], position
    )


def outcome_of(control: Record) -> int:
    """ABORT or COMMIT of a control record. Raises ValueError for another kind."""
    key = control.key or b""
    kind = int.from_bytes(key[2:4], "big")
    if len(key) != 4 or kind not in (ABORT, COMMIT):
        raise ValueError(f"control record {control.offset} is of an unknown kind")
    return kind


def _records(header: Header, data: bytes) -> list[Record]:
    found: list[Record] = []
    at, last_delta = 0, -1
    append_time = header.max_timestamp_ms if header.attributes & APPEND_TIME else None
    for _ in range(header.records):
        record, at, delta = _record(header, data, at, append_time)
        if not last_delta < delta <= header.last_delta:
            raise ValueError(f"offset delta {delta} follows {last_delta}, of {header.last_delta}")
        last_delta = delta
        found.append(record)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes lie behind the last record")
    return found


def _record(header: Header, data: bytes, at: int, append_time: int | None) -> tuple[Record, int, int]:
    length, at = _varint(data, at)
    end = at + length
    if length < 1 or end > len(data):
        raise ValueError("a record's length leaves its batch")
    timestamp_delta, at = _varint(data, at + 1)
    delta, at = _varint(data, at)
    key, at = _field(data, at)
    value, at = _field(data, at)
    count, at = _varint(data, at)
    headers: list[tuple[bytes, bytes | None]] = []
    for _ in range(count):
        name, at = _field(data, at)
        if name is None:
            raise ValueError("a header has no key")
        name.decode()  # UnicodeDecodeError is a ValueError
        field, at = _field(data, at)
        headers.append((name, field))
    if at != end or count < 0:
        raise ValueError(f"a record's length says {end}, its fields end at {at}")
    timestamp_ms = header.base_timestamp_ms + timestamp_delta if append_time is None else append_time
    return Record(header.base_offset + delta, timestamp_ms, key, value, headers), at, delta


def _field(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = _varint(data, at)
    if length < 0:
        if length != -1:
            raise ValueError(f"a field cannot have the length {length}")
        return None, at
    if at + length > len(data):
        raise ValueError("a field leaves its batch")
    return data[at : at + length], at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Zigzag, seven bits a byte, the lowest first; ten bytes at most."""
    byte = data[at]
    at += 1
    if byte < 0x80:  # one byte nearly always
        return (byte >> 1) ^ -(byte & 1), at
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        if shift > 63:
            raise ValueError("a number has more than ten bytes")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return (value >> 1) ^ -(value & 1), at
