"""The 61 bytes before the records of a batch, format v2.

Parsing reads fields and judges only what is needed to find the next batch: the length and the format. CRC, codec
and contents are judged by `validate` (of a partner) and `mesh.lanes.export` (of our own log).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from mesh.batch.errors import BatchTruncated, LogUnreadable, OldFormat
from mesh.batch.stamp import Buffer

#   at  field                type      under CRC
#    0  base offset          i64       no
#    8  batch length         i32       no          bytes after this field
#   12  leader epoch         i32       no
#   16  magic                i8        no          2
#   17  CRC-32C              u32       -           of byte 21 to the end
#   21  attributes           i16       yes         bits, see below
#   23  last offset delta    i32       yes
#   27  base timestamp       i64       yes
#   35  max timestamp        i64       yes
#   43  producer id          i64       yes
#   51  producer epoch       i16       yes
#   53  base sequence        i32       yes
#   57  records count        i32       yes
LAYOUT = Struct(">qiibIhiqqqhii")
HEADER_BYTES = LAYOUT.size
LENGTH_END = 12
CRC_START = 21
MAGIC_AT = 16
MAGIC = 2

# attributes; bit 6 says that the base timestamp is a delete horizon, which changes no record's timestamp
CODEC_BITS = 0x07
APPEND_TIME_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20


class Codec(IntEnum):
    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4

    def __str__(self) -> str:
        return self.name.lower()


class BatchHeader(NamedTuple):
    base_offset: int
    batch_length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records_count: int

    @property
    def codec(self) -> int:
        """A `Codec`, or 5 to 7, which no codec has."""
        return self.attributes & CODEC_BITS

    @property
    def is_log_append_time(self) -> bool:
        return bool(self.attributes & APPEND_TIME_BIT)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL_BIT)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL_BIT)

    @property
    def is_dense(self) -> bool:
        """Whether every offset of the batch has a record, by its header."""
        return 0 <= self.last_offset_delta == self.records_count - 1

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """Where reading goes on: compaction may have taken the last records, not the offsets."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def size_bytes(self) -> int:
        return LENGTH_END + self.batch_length


def parse_header(data: Buffer, at: int = 0) -> BatchHeader:
    """The header that begins at byte `at`. Raises BatchTruncated (fewer than 61 bytes) and OldFormat."""
    if len(data) - at < HEADER_BYTES:
        raise BatchTruncated(HEADER_BYTES, len(data) - at)
    header = BatchHeader._make(LAYOUT.unpack_from(data, at))
    if header.magic != MAGIC:
        raise OldFormat(header.base_offset, header.magic)
    return header


def split(data: memoryview) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Each whole batch of a fetch answer, header included, as a view of `data`; a cut last one is left out.

    Raises OldFormat at a message of format 0 or 1 and LogUnreadable at anything else that is no batch. A length
    that points beyond the data cannot be told from a cut batch.
    """
    unpack, make, end, at = LAYOUT.unpack_from, BatchHeader._make, len(data), 0
    while end - at >= HEADER_BYTES:
        header = make(unpack(data, at))
        length = header.batch_length
        if header.magic != MAGIC or length < HEADER_BYTES - LENGTH_END or header.last_offset_delta < 0:
            _refuse(header)
        after = at + LENGTH_END + length
        if after > end:
            return
        yield header, data[at:after]
        at = after
    if end - at > MAGIC_AT and data[at + MAGIC_AT] in (0, 1):
        raise OldFormat(int.from_bytes(data[at : at + 8], "big", signed=True), data[at + MAGIC_AT])


def epoch_before(data: memoryview, offset: int) -> int:
    """The leader epoch of the last batch in a fetch answer that begins before `offset`, -1 where none does.

    Messages of the old formats know of no epochs.
    """
    at, epoch, size = 0, -1, len(data)
    while size - at >= HEADER_BYTES and int.from_bytes(data[at : at + 8], "big", signed=True) < offset:
        known = data[at + MAGIC_AT] == MAGIC
        epoch = int.from_bytes(data[at + LENGTH_END : at + MAGIC_AT], "big", signed=True) if known else -1
        length = int.from_bytes(data[at + 8 : at + LENGTH_END], "big", signed=True)
        if length < HEADER_BYTES - LENGTH_END:
            break
        at += LENGTH_END + length
    return epoch


def _refuse(header: BatchHeader) -> None:
    if header.magic in (0, 1):
        raise OldFormat(header.base_offset, header.magic)
    if header.magic != MAGIC:
        raise LogUnreadable(header.base_offset, f"a batch of the unknown format {header.magic}")
    if header.last_offset_delta < 0:
        raise LogUnreadable(header.base_offset, f"a batch states the last offset delta {header.last_offset_delta}")
    raise LogUnreadable(header.base_offset, f"a batch states its length as {header.batch_length} bytes")
