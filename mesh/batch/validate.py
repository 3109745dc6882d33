"""What a receiving gateway requires of a partner's batch before it appends it.

A broker checks less than its consumers do: a batch can pass the append and then stop or mislead every consumer.
So the header, the CRC and every record are judged here, under limits. What the new stamp overwrites (base offset,
leader epoch, producer, transactional bit, delete horizon) may be anything. The header's maximum timestamp is
taken on trust: brokers compute their own, and it decides only look-ups by time.

Strategy: the compiled part takes what is in order, many batches at a call. Whatever it does not take is judged here
(`validate`), which says what is wrong; where nothing was compiled, everything is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from crc32c import crc32c

from mesh.batch.codec import decompress
from mesh.batch.errors import BatchCorrupt, BatchForbidden, BatchOversized, BatchTruncated
from mesh.batch.header import CRC_START, HEADER_BYTES, LAYOUT, LENGTH_END, MAGIC, BatchHeader, Codec, parse_header
from mesh.batch.limits import Limits
from mesh.batch.native import IS_COMPILED, Admitted, admitted, are_records
from mesh.batch.records import check_records as check_records_strictly
from mesh.batch.stamp import Buffer

KEPT_BYTES = 128 * 1024
"""Uncompressed records up to here are handed on, for whoever would join small batches."""


class RecordChecker(Protocol):
    def __call__(self, header: BatchHeader, payload: bytes, /) -> None:
        """Nothing, if `payload` (uncompressed) is exactly the header's records, dense; otherwise BatchPoison."""


class Sound(NamedTuple):
    """A batch that may be stamped and appended as it is, and what was found out when it was judged."""

    batch: memoryview
    """All of it, header included."""
    codec: int
    records_count: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    records: Buffer | None
    """Uncompressed; None where they are more than KEPT_BYTES."""


def sound(entry: memoryview, limits: Limits, check_records: RecordChecker = check_records_strictly) -> Iterator[Sound]:
    """The batches of `entry`, one directly after another and nothing else. Raises as `validate`.

    Each is judged as if it had come alone.
    """
    at, max_bytes = 0, min(limits.max_batch_bytes, limits.max_uncompressed_bytes)
    while at < len(entry) or not at:
        rest = entry[at:]
        for found in admitted(rest, max_bytes, limits.max_records) if IS_COMPILED else ():
            start, size, codec, count, base_timestamp_ms, max_timestamp_ms, is_checked = found
            batch = rest[start : start + size]
            # not bound to a name here, so that large ones are gone before the next are unpacked
            kept = _few(batch[HEADER_BYTES:] if is_checked else _records(batch, found, limits, check_records))
            yield Sound(batch, codec, count, base_timestamp_ms, max_timestamp_ms, kept)
            at += size
        if at < len(entry) or not at:
            batch = _first(entry[at:])
            yield _judged(batch, limits, check_records)
            at += len(batch)


def _few(records: Buffer) -> Buffer | None:
    return records if len(records) <= KEPT_BYTES else None


def _records(batch: memoryview, found: Admitted, limits: Limits, check_records: RecordChecker) -> bytes:
    records = decompress(found.codec, batch[HEADER_BYTES:], limits)
    if not are_records(records, found.records, found.base_timestamp_ms):
        check_records(parse_header(batch), records)
    return records


def _first(data: memoryview) -> memoryview:
    """What its header says is the first batch; all of `data` where the header cannot be right."""
    if len(data) < HEADER_BYTES:
        return data
    size = LENGTH_END + LAYOUT.unpack_from(data)[1]
    return data[:size] if HEADER_BYTES <= size < len(data) else data


def validate(batch: memoryview, limits: Limits, check_records: RecordChecker = check_records_strictly) -> BatchHeader:
    """The header of `batch`, which may be stamped and appended as it is.

    Raises BatchTruncated, BatchOversized, BatchForbidden, BatchCorrupt, BatchInflates, BatchUndecodable, BatchPoison.
    """
    _judged(batch, limits, check_records)
    return parse_header(batch)


def _judged(batch: memoryview, limits: Limits, check_records: RecordChecker) -> Sound:
    header = _whole(batch, limits)
    if header.crc != (computed := crc32c(batch[CRC_START:])):
        raise BatchCorrupt(header.crc, computed)
    _check_header(header, limits)
    records = decompress(header.codec, batch[HEADER_BYTES:], limits)
    check_records(header, records)
    stated = header.codec, header.records_count, header.base_timestamp_ms, header.max_timestamp_ms
    return Sound(batch, *stated, _few(records))


def _whole(batch: memoryview, limits: Limits) -> BatchHeader:
    if len(batch) > limits.max_batch_bytes:
        raise BatchOversized("bytes", len(batch), limits.max_batch_bytes)
    if len(batch) < HEADER_BYTES:
        raise BatchTruncated(HEADER_BYTES, len(batch))
    header = BatchHeader._make(LAYOUT.unpack_from(batch))
    if header.magic != MAGIC:
        raise BatchForbidden(header.base_offset, f"it has the format {header.magic}, not {MAGIC}")
    if header.batch_length != len(batch) - LENGTH_END:
        raise BatchTruncated(header.size_bytes, len(batch))
    return header


def _check_header(header: BatchHeader, limits: Limits) -> None:
    if header.is_control:
        raise BatchForbidden(header.base_offset, "it holds control records")
    if header.is_log_append_time:
        raise BatchForbidden(header.base_offset, "it has append time: its timestamps would change in the copy")
    if header.codec > max(Codec):
        raise BatchForbidden(header.base_offset, f"codec {header.codec} is unknown")
    if header.records_count < 1:
        raise BatchForbidden(header.base_offset, f"it states {header.records_count} records")
    if not header.is_dense:
        why = f"its last offset delta is {header.last_offset_delta} with {header.records_count} records"
        raise BatchForbidden(header.base_offset, why)
    if header.records_count > limits.max_records:
        raise BatchOversized("records", header.records_count, limits.max_records)
