"""Whether records are the canonical encoding of dense ones, asked of aiokafka's compiled reader and encoder.

The compiled reader is laxer than ours: it takes any negative size as null, longer numbers, attributes of several
bytes, any order of offset deltas. So nothing rests on its verdict. Its records are encoded again, and only a batch
that comes out byte for byte the same is accepted: then it is the canonical encoding of dense records, which is all
that the strict check asks for. Whatever differs, or fails, is decided by the strict check, which has the evidence.
Reading past the end: the reader looks at one byte beyond its buffer at most, which a `bytes` object has.
"""

from __future__ import annotations

from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records

from mesh.batch.header import HEADER_BYTES, LAYOUT, LENGTH_END, MAGIC, BatchHeader
from mesh.batch.stamp import Buffer

Reader = default_records.DefaultRecordBatch
Builder = default_records.DefaultRecordBatchBuilder
IS_COMPILED = "_crecords" in Reader.__module__
"""Without a compiler aiokafka installs its Python reader, which is slower than ours."""


def is_canonical(header: BatchHeader, payload: bytes) -> bool:
    """Whether `payload` is what our encoder would make of its own records. False is no verdict."""
    try:
        again = _encoded_again(header, payload)
    except (CorruptRecordException, ValueError, OverflowError, MemoryError):
        return False
    return again is not None and again == payload


def _encoded_again(header: BatchHeader, payload: bytes) -> Buffer | None:
    """None where the encoder could not tell: the reader has no timestamp for -1 and lets others overflow."""
    if header.records_count < 1:
        return None
    batch = Reader(_plain_header(header, len(payload)) + payload)
    builder = Builder(MAGIC, 0, 0, -1, -1, -1, HEADER_BYTES + 2 * len(payload) + 64)
    append = builder.append
    for index, record in enumerate(batch):
        timestamp = record.timestamp
        if timestamp is None or timestamp < 0:
            return None
        append(index, timestamp, record.key, record.value, record.headers)
    return memoryview(builder.build())[HEADER_BYTES:]


def _plain_header(header: BatchHeader, payload_bytes: int) -> bytes:
    length = HEADER_BYTES - LENGTH_END + payload_bytes
    timestamps = (header.base_timestamp_ms, header.max_timestamp_ms)
    return LAYOUT.pack(
        0, length, -1, MAGIC, 0, 0, header.last_offset_delta, *timestamps, -1, -1, -1, header.records_count
    )
