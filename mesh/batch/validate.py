"""What a receiving gateway requires of a partner's batch before it appends it.

A broker checks less than its consumers do: a batch can pass the append and then stop or mislead every consumer.
So the header, the CRC and every record are judged here, under limits. What the new stamp overwrites (base offset,
leader epoch, producer, transactional bit, delete horizon) may be anything. The header's maximum timestamp is
taken on trust: brokers compute their own, and it decides only look-ups by time.
"""

from __future__ import annotations

from typing import Protocol

from crc32c import crc32c

from mesh.batch.codec import decompress
from mesh.batch.errors import BatchCorrupt, BatchForbidden, BatchOversized, BatchTruncated
from mesh.batch.header import CRC_START, HEADER_BYTES, LAYOUT, LENGTH_END, MAGIC, BatchHeader, Codec
from mesh.batch.limits import Limits
from mesh.batch.records import check_records as check_records_strictly


class RecordChecker(Protocol):
    def __call__(self, header: BatchHeader, payload: bytes, /) -> None:
        """Nothing, if `payload` (uncompressed) is exactly the header's records, dense; otherwise BatchPoison."""


def validate(batch: memoryview, limits: Limits, check_records: RecordChecker = check_records_strictly) -> BatchHeader:
    """The header of `batch`, which may be stamped and appended as it is.

    Raises BatchTruncated, BatchOversized, BatchForbidden, BatchCorrupt, BatchInflates, BatchUndecodable, BatchPoison.
    """
    header = _whole(batch, limits)
    if header.crc != (computed := crc32c(batch[CRC_START:])):
        raise BatchCorrupt(header.crc, computed)
    _check_header(header, limits)
    check_records(header, decompress(header.codec, batch[HEADER_BYTES:], limits))
    return header


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
