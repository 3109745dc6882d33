"""What `mesh.batch.native` does, in Python: the meaning of it, and what runs where nothing was compiled.

Strategy: every verdict is asked of the strict code (`header`, `records`), so that there is one truth of what a batch
is. Invariants, which the compiled part keeps, too:
A. Nothing is accepted that the strict code refuses. What is not accepted is not judged: no evidence is made here.
B. Any bytes give a value or ValueError (`merged`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from crc32c import crc32c

from mesh.batch.encode import varint
from mesh.batch.errors import BatchPoison
from mesh.batch.header import CRC_START, HEADER_BYTES, LAYOUT, LENGTH_END, MAGIC, BatchHeader, Codec
from mesh.batch.records import check_records
from mesh.batch.stamp import Buffer

Part: TypeAlias = tuple[Buffer, int, int]
"""Uncompressed records, how many they are, the timestamp that theirs count from."""

_MAX_I64 = (1 << 63) - 1
_MIN_I64 = -1 << 63


class Stretch(NamedTuple):
    """Batches one after another that may leave as they are."""

    size_bytes: int
    records: int
    next_offset: int
    latest_ms: int
    """The largest timestamp by the headers, at least -1."""
    leader_epoch: int
    """Of the last batch."""


class Admitted(NamedTuple):
    """A batch of a partner that passes."""

    at: int
    size_bytes: int
    codec: int
    records: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    records_checked: bool
    """Whether the records were judged, too; compressed ones are not."""


def stretch(data: Buffer, at: int, position: int, stable: int, max_bytes: int, transactional: bool) -> Stretch:
    """The longest stretch of batches from byte `at` on that may leave with their bytes untouched.

    The first begins at source offset `position`, each next at the end of the one before. Each is whole, v2, dense, of
    CreateTime, not control, not transactional unless `transactional`, of a known codec, ends at or below offset
    `stable`, and its CRC is right. All together have at most `max_bytes`, though the first alone may have more.
    Of size 0 where the first is not such a batch: that is no verdict.
    """
    view = memoryview(data)
    taken = Stretch(0, 0, position, -1, -1)
    while (header := _whole(view, at + taken.size_bytes)) is not None:
        size, end = header.size_bytes, header.next_offset
        if not _is_plain(header) or (header.is_transactional and not transactional):
            break
        if header.base_offset != taken.next_offset or end > stable:
            break
        if taken.size_bytes and taken.size_bytes + size > max_bytes:
            break
        if not _has_right_crc(header, view, at + taken.size_bytes):
            break
        taken = Stretch(
            taken.size_bytes + size,
            taken.records + header.records_count,
            end,
            max(taken.latest_ms, header.max_timestamp_ms),
            header.leader_epoch,
        )
    return taken


def admitted(data: Buffer, max_batch_bytes: int, max_records: int) -> list[Admitted]:
    """The batches from the beginning of `data` that pass what `validate` asks of header and CRC.

    Where nothing is compressed, of the records, too: `max_batch_bytes` must not be above what may be uncompressed.
    It stops before the first that does not pass: that one is for `validate`, which has the evidence.
    """
    view = memoryview(data)
    found: list[Admitted] = []
    at = 0
    while (header := _whole(view, at)) is not None:
        size, count, base = header.size_bytes, header.records_count, header.base_timestamp_ms
        if size > max_batch_bytes or count > max_records or not _is_plain(header):
            break
        if not _has_right_crc(header, view, at):
            break
        is_readable = header.codec == Codec.NONE
        if is_readable and not are_records(view[at + HEADER_BYTES : at + size], count, base):
            break
        found.append(Admitted(at, size, header.codec, count, base, header.max_timestamp_ms, is_readable))
        at += size
    return found


def are_records(payload: Buffer, count: int, base_timestamp_ms: int) -> bool:
    """Whether `payload` (uncompressed) is exactly `count` dense records. False is no verdict."""
    header = BatchHeader(0, 0, -1, MAGIC, 0, 0, count - 1, base_timestamp_ms, 0, -1, -1, -1, count)
    try:
        check_records(header, bytes(payload))
    except BatchPoison:
        return False
    return True


def merged(parts: Sequence[Part]) -> bytes:
    """The records of all `parts` as one payload: numbered anew from 0, timestamps counted from the first part's base.

    Nothing else of them changes. Raises ValueError where a part is not records, or where they do not fit one batch: a
    timestamp too far from the base, more headers than a batch may have.
    """
    base = parts[0][2] if parts else 0
    out = bytearray()
    total = 0
    for payload, count, own_base in parts:
        if not are_records(payload, count, own_base):
            raise ValueError("a part is not records")
        for delta, rest in _taken_apart(bytes(payload), count):
            delta += own_base - base
            if not _MIN_I64 <= delta <= _MAX_I64:
                raise ValueError("timestamps too far apart for one batch")
            body = b"".join((b"\x00", varint(delta), varint(total), rest))
            out += varint(len(body)) + body
            total += 1
    joined = bytes(out)
    if len(parts) > 1 and not are_records(joined, total, base):
        raise ValueError("more than a batch may have")
    return joined


def blank(size_bytes: int) -> bytearray:
    """A buffer to be filled whole: what it holds until then means nothing (compiled, it is not even cleared)."""
    return bytearray(size_bytes)


def _whole(data: memoryview, at: int) -> BatchHeader | None:
    """The header of the batch that begins at byte `at`, if all of it is there and it is of format 2."""
    if at < 0 or len(data) - at < HEADER_BYTES:
        return None
    header = BatchHeader._make(LAYOUT.unpack_from(data, at))
    if header.magic != MAGIC or not HEADER_BYTES <= header.size_bytes <= len(data) - at:
        return None
    return header


def _is_plain(header: BatchHeader) -> bool:
    """Dense, not empty, of CreateTime, not control, of a known codec."""
    unusual = header.is_control or header.is_log_append_time or header.codec > max(Codec)
    return header.records_count > 0 and header.is_dense and not unusual


def _has_right_crc(header: BatchHeader, data: memoryview, at: int) -> bool:
    return header.crc == crc32c(data[at + CRC_START : at + LENGTH_END + header.batch_length])


def _taken_apart(payload: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    """Of each record the timestamp delta, and what follows its offset delta. They have been judged."""
    pos = 0
    for _ in range(count):
        size, start = _number(payload, pos)
        pos = start + size
        timestamp, at = _number(payload, start + 1)
        _, at = _number(payload, at)
        yield timestamp, payload[at:pos]


def _number(data: bytes, pos: int) -> tuple[int, int]:
    """The zigzag number at `pos`, and where it ends."""
    raw = shift = 0
    while True:
        byte = data[pos]
        raw |= (byte & 127) << shift
        pos, shift = pos + 1, shift + 7
        if byte < 128:
            return (raw >> 1) ^ -(raw & 1), pos
