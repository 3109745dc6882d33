"""Dense v2 batches from records.

Records are numbered anew from 0, so what comes out has no holes; null stays null, headers keep order and repeats.
The base timestamp is the first record's, as the Java client writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import TypeVar

from crc32c import crc32c

from mesh.batch.codec import compress
from mesh.batch.header import CRC_START, HEADER_BYTES, LAYOUT, LENGTH_END, MAGIC, Codec
from mesh.batch.records import Headers, Record
from mesh.batch.stamp import NO_LEADER_EPOCH, Producer

NO_PRODUCER = Producer(-1, -1)
_RECORD_OVERHEAD_BYTES = 21
_ONE_BYTE = [bytes([number]) for number in range(128)]
_NULL = b"\x01"
_PIECE_BYTES = 4 << 20
_PIECE_RECORDS = 20_000
Item = TypeVar("Item")


def encode(
    records: Sequence[Record],
    *,
    codec: int = Codec.NONE,
    base_offset: int = 0,
    producer: Producer | None = None,
    base_sequence: int = -1,
    dense: bool = True,
) -> bytes:
    """One whole batch of all `records`, at least one; they keep their offset deltas if not `dense`."""
    assert records, "a batch has at least one record"
    base = records[0].timestamp_ms
    deltas = range(len(records)) if dense else [record.offset_delta for record in records]
    payload = compress(codec, b"".join(map(_encoded, deltas, repeat(base), records)))
    count, latest = len(records), max(record.timestamp_ms for record in records)
    stamp = (*(producer or NO_PRODUCER), base_sequence)
    size = HEADER_BYTES + len(payload) - LENGTH_END
    outer = (base_offset, size, NO_LEADER_EPOCH, MAGIC)
    inner = (int(codec), deltas[-1], base, latest, *stamp, count)
    crc = crc32c(payload, crc32c(LAYOUT.pack(*outer, 0, *inner)[CRC_START:]))
    return LAYOUT.pack(*outer, crc, *inner) + payload


def pieces(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """`items` as lists that are bounded in count and bytes: objects take fifty times the room of small records."""
    piece: list[Item] = []
    left = _PIECE_BYTES
    for item in items:
        piece.append(item)
        left -= size(item)
        if left <= 0 or len(piece) >= _PIECE_RECORDS:
            yield piece
            piece, left = [], _PIECE_BYTES
    if piece:
        yield piece


def size_of(record: Record) -> int:
    """An upper bound of the record's uncompressed bytes, close enough to cut by."""
    headers = sum(10 + len(key.encode()) + len(value or b"") for key, value in record.headers)
    return _RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"") + headers


def _encoded(index: int, base_timestamp_ms: int, record: Record) -> bytes:
    body = b"".join(
        (
            b"\x00",
            varint(record.timestamp_ms - base_timestamp_ms),
            varint(index),
            _sized(record.key),
            _sized(record.value),
            _headers(record.headers) if record.headers else b"\x00",
        )
    )
    return varint(len(body)) + body


def _headers(headers: Headers) -> bytes:
    parts = [varint(len(headers))]
    for key, value in headers:
        parts += (_sized(key.encode()), _sized(value))
    return b"".join(parts)


def _sized(data: bytes | None) -> bytes:
    return _NULL if data is None else varint(len(data)) + data


def varint(number: int) -> bytes:
    """`number` (64 bits, signed) in zigzag form, seven bits a byte, the lowest first."""
    number = number << 1 if number >= 0 else (-number << 1) - 1
    if number < 128:
        return _ONE_BYTE[number]
    if number < 16384:
        return bytes((number & 127 | 128, number >> 7))
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
