"""Batches for tests, made by another implementation of the format (aiokafka's) than the one under test."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from mesh.batch.stamp import Producer, StampedBatch, restamp

NOBODY = Producer(-1, -1)
TIMESTAMP_MS = 1_700_000_000_000


def plain_batch(
    values: Sequence[bytes], timestamps_ms: Sequence[int] = (), codec: int = 0, base_offset: int = 0
) -> bytes:
    """One batch of records without keys; `timestamps_ms` are consecutive milliseconds where not given."""
    times = timestamps_ms or range(TIMESTAMP_MS, TIMESTAMP_MS + len(values))
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 30)
    for delta, (value, time_ms) in enumerate(zip(values, times, strict=True)):
        assert builder.append(delta, time_ms, None, value, []), "the batch is full"
    batch = bytearray(builder.build())
    batch[0:8] = base_offset.to_bytes(8, "big")
    return bytes(batch)


def stamped(
    producer: Producer, base_sequence: int, values: Sequence[bytes], timestamps_ms: Sequence[int] = ()
) -> StampedBatch:
    return restamp(plain_batch(values, timestamps_ms), producer, base_sequence)


def numbered(*numbers: int) -> list[bytes]:
    """Values that tell the records apart."""
    return [b"record-%d" % number for number in numbers]


def records_in(data: bytes | memoryview) -> list[tuple[int, bytes]]:
    """(offset, value) of every record in a fetch answer; a cut last batch is left out, each CRC is checked."""
    found, at, data = [], 0, bytes(data)
    while at + 12 <= len(data):
        size = 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        if at + size > len(data):
            break
        batch = DefaultRecordBatch(bytearray(data[at : at + size]))
        assert batch.validate_crc(), f"the batch at byte {at} does not fit its CRC"
        found += [(record.offset, record.value) for record in batch]
        at += size
    return found
