"""Reads raw record batches, format v2, into records; and says which of them a reader of committed data sees. A message
of an older format, as old segments hold, counts as a batch (`gateway.verify.old` reads it).

Written from the format's description alone, on purpose: the mirror has its own decoder, and a mistake in one must
not hide the same mistake in the other. A. Any input gives records or BatchUnreadable. B. Memory is bounded by
`limit` per batch. C. A batch is checked (CRC) before it is believed.

    offset size field              offset size field              offset size field
     0     8   base offset         17     4   CRC-32C of 21…      43     8   producer id
     8     4   length of 12…       21     2   attributes          51     2   producer epoch
    12     4   leader epoch        23     4   last offset delta   53     4   base sequence
    16     1   magic, 2            27     8   base timestamp      57     4   record count
                                   35     8   maximum timestamp   61         records, perhaps compressed

    attributes: bits 0 to 2 codec, 3 append time, 4 transactional, 5 control
    record: length, attributes (1 byte), timestamp delta, offset delta, key, value, header count, headers (key, value);
    numbers are zigzag varints, byte strings stand behind their length, -1 for null
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import crc32c

from gateway.verify.codecs import decompress
from gateway.verify.errors import BatchUnreadable
from gateway.verify.old import LEAST_BYTES, read_old

_HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC_FROM = 21
_LENGTH_FROM = 12
_MAGIC_AT, _MAGIC = 16, 2
_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x08, 0x10, 0x20
_ABORT = 0

OPENED_LIMIT_BYTES = 40 << 20
"""No broker default comes near it: one batch of 1 MiB would have to be compressed to a fortieth."""
MAX_RECORD_HEADERS = 100_000
"""As the mirror takes them: an empty one has two bytes here, and seventy as an object."""

Headers: TypeAlias = tuple[tuple[bytes, bytes | None], ...]
Record: TypeAlias = tuple[int, int, bytes | None, bytes | None, Headers]
"""(offset, timestamp_ms, key, value, headers in order): a plain tuple, for there are millions."""


class Batch(NamedTuple):
    base_offset: int
    last_offset: int
    attributes: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    record_count: int
    payload: memoryview
    magic: int = 2
    """The payload of an older format is the whole message; its first offset is not known before it is read."""

    @property
    def control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)


def read_batches(data: memoryview) -> Iterator[Batch]:
    """The whole batches in `data`; a cut one at its end is left out. Raises BatchUnreadable."""
    position = 0
    while len(data) - position > _MAGIC_AT:
        batch = data[position:]
        base_offset, length = struct.unpack_from(">qi", batch)
        size, is_old = _LENGTH_FROM + length, batch[_MAGIC_AT] < _MAGIC
        if size < (LEAST_BYTES if is_old else _HEADER.size):
            raise BatchUnreadable(base_offset, f"its length of {length} is too small")
        if size > len(batch):
            return
        yield _as_batch(batch[:size]) if is_old else _read_batch(batch[:size])
        position += size


def _as_batch(message: memoryview) -> Batch:
    offset, magic = int.from_bytes(message[:8], "big", signed=True), message[_MAGIC_AT]
    return Batch(offset, offset, 0, -1, -1, -1, 0, message, magic)


def _read_batch(data: memoryview) -> Batch:
    (base, _, _, magic, crc, attributes, last_delta, base_timestamp, max_timestamp, producer_id, _, _, count) = (
        _HEADER.unpack_from(data)
    )
    if magic != _MAGIC:
        raise BatchUnreadable(base, f"its format is {magic}, not 2")
    if crc32c.crc32c(data[_CRC_FROM:]) != crc:
        raise BatchUnreadable(base, "its checksum is wrong")
    if last_delta < 0 or count < 0:
        raise BatchUnreadable(base, "its counts are negative")
    return Batch(
        base, base + last_delta, attributes, base_timestamp, max_timestamp, producer_id, count,
        data[_HEADER.size :],
    )  # fmt: skip


def read_records(batch: Batch, limit: int = OPENED_LIMIT_BYTES) -> Iterator[Record]:
    """The records of a batch in order. Raises BatchUnreadable, also where it unpacks to more than `limit` bytes."""
    try:
        if batch.magic != _MAGIC:
            yield from read_old(batch.payload, limit)
            return
        yield from _parse(batch, decompress(batch.attributes & 0x07, batch.payload, limit))
    except (ValueError, IndexError) as error:
        raise BatchUnreadable(batch.base_offset, str(error)) from error


def _parse(batch: Batch, data: bytes) -> Iterator[Record]:
    append_time = batch.max_timestamp_ms if batch.attributes & _APPEND_TIME else None
    base_timestamp, base_offset, last_offset = batch.base_timestamp_ms, batch.base_offset, batch.last_offset
    position, previous = 0, base_offset - 1
    for _ in range(batch.record_count):
        length, position = _varint(data, position)
        end = position + length
        if length < 0 or end > len(data):
            raise ValueError("a record ends outside it")
        delta, position = _varint(data, position + 1)
        timestamp = base_timestamp + delta if append_time is None else append_time
        delta, position = _varint(data, position)
        offset = base_offset + delta
        if not previous < offset <= last_offset:
            raise ValueError("its offsets are out of order")
        previous = offset
        key, position = _bytes(data, position, end)
        value, position = _bytes(data, position, end)
        headers: Headers = ()
        if data[position]:
            headers, position = _headers(data, position, end)
        else:
            position += 1
        if position != end:
            raise ValueError("a record's length is wrong")
        yield offset, timestamp, key, value, headers
    if position != len(data):
        raise ValueError("bytes follow its last record")


def _headers(data: bytes, position: int, end: int) -> tuple[Headers, int]:
    count, position = _varint(data, position)
    # A header takes at least two bytes: a count beyond that cannot be true and must not make us loop.
    if not 0 <= count <= min((end - position) // 2, MAX_RECORD_HEADERS):
        raise ValueError("a record's header count is wrong")
    headers = []
    for _ in range(count):
        key, position = _bytes(data, position, end)
        if key is None:
            raise ValueError("a header has no key")
        value, position = _bytes(data, position, end)
        headers.append((key, value))
    return tuple(headers), position


def _bytes(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    byte = data[position]
    if byte < 0x80:  # most lengths take one byte: not worth a call
        length, position = (byte >> 1) ^ -(byte & 1), position + 1
    else:
        length, position = _varint(data, position)
    if length < 0:
        return None, position
    stop = position + length
    if stop > end:
        raise ValueError("a field ends outside its record")
    return data[position:stop], stop


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A zigzag varint of at most ten bytes, and the position after it."""
    byte = data[position]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position + 1
    raw, shift = byte & 0x7F, 7
    for at in range(position + 1, position + 10):
        byte = data[at]
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (raw >> 1) ^ -(raw & 1), at + 1
        shift += 7
    raise ValueError("a number is longer than ten bytes")


def committed(batches: Iterable[Batch], aborted: Iterable[tuple[int, int]], last_stable: int) -> Iterator[Batch]:
    """The batches whose records a read_committed reader sees: no markers, nothing aborted, nothing undecided.

    `aborted` holds (producer id, first offset) in any order. A producer's transaction is over at its abort marker.
    """
    waiting = sorted(aborted, key=lambda transaction: transaction[1], reverse=True)
    aborting: set[int] = set()
    for batch in batches:
        if batch.base_offset >= last_stable:
            return
        while waiting and waiting[-1][1] <= batch.last_offset:
            aborting.add(waiting.pop()[0])
        if batch.control:
            if _is_abort(batch):
                aborting.discard(batch.producer_id)
        elif not (batch.transactional and batch.producer_id in aborting):
            yield batch


def _is_abort(batch: Batch) -> bool:
    """Whether the marker's key, (version, type) of 2 bytes each, says abort."""
    for _, _, key, _, _ in read_records(batch):
        if key is None or len(key) < 4:
            raise BatchUnreadable(batch.base_offset, "its control record has no type")
        return int.from_bytes(key[2:4], "big") == _ABORT
    return False
