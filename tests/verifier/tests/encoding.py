"""Writes record batches of format 2, for generated runs: the decoder's opposite, by a hand of its own."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence

import cramjam
import lz4.frame
import zstandard
from crc32c import crc32c

Field = bytes | None
Encoded = tuple[int, int, Field, Field, Sequence[tuple[bytes, Field]]]
"""Offset, timestamp, key, value, headers."""


def encode(
    base_offset: int,
    last_offset: int,
    records: Sequence[Encoded],
    *,
    codec: int = 0,
    producer: tuple[int, int, int] = (-1, -1, -1),
    transactional: bool = False,
    control: bool = False,
    append_time_ms: int | None = None,
) -> bytes:
    """One batch; `producer` is its id, epoch and base sequence."""
    times = [each[1] for each in records] or [0]
    base_time, top_time = times[0], max(times) if append_time_ms is None else append_time_ms
    attributes = codec | (append_time_ms is not None) << 3 | transactional << 4 | control << 5
    body = packed(codec, b"".join(_record(each, base_offset, base_time) for each in records))
    inner = struct.pack(
        ">hiqqqhii", attributes, last_offset - base_offset, base_time, top_time, *producer, len(records)
    )
    covered = inner + body
    return struct.pack(">qiibI", base_offset, len(covered) + 9, 0, 2, crc32c(covered)) + covered


def packed(codec: int, data: bytes) -> bytes:
    if codec == 1:
        return gzip.compress(data, 1)
    if codec == 2:
        block = bytes(cramjam.snappy.compress_raw(data))
        return b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, len(block)) + block if data else block
    if codec == 3:
        return bytes(lz4.frame.compress(data))
    return zstandard.compress(data, 1) if codec == 4 else data


def marker(offset: int, producer: tuple[int, int], *, commit: bool, timestamp_ms: int = 0) -> bytes:
    key, value = struct.pack(">hh", 0, int(commit)), struct.pack(">hi", 0, 0)
    record = (offset, timestamp_ms, key, value, ())
    return encode(offset, offset, [record], producer=(*producer, -1), transactional=True, control=True)


def _record(record: Encoded, base_offset: int, base_time: int) -> bytes:
    offset, timestamp_ms, key, value, headers = record
    body = b"\x00" + varint(timestamp_ms - base_time) + varint(offset - base_offset) + _field(key) + _field(value)
    body += varint(len(headers)) + b"".join(_field(name) + _field(field) for name, field in headers)
    return varint(len(body)) + body


def _field(field: Field) -> bytes:
    return varint(-1) if field is None else varint(len(field)) + field


def varint(number: int) -> bytes:
    left = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)
