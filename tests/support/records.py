"""Records and batches for the tests of the format: strategies, and batches with any header, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from crc32c import crc32c
from hypothesis import strategies as st

from mesh.batch.codec import compress
from mesh.batch.header import HEADER_BYTES, LAYOUT
from mesh.batch.records import Record

TIMESTAMP_MS = 1_700_000_000_000

some_bytes = st.none() | st.binary(max_size=80)
headers = st.lists(st.tuples(st.text(max_size=4), some_bytes), max_size=3).map(tuple)
timestamps = st.integers(TIMESTAMP_MS - 500, TIMESTAMP_MS + 500) | st.just(-1) | st.integers(0, (1 << 62))
records = st.lists(st.builds(Record, st.just(0), timestamps, some_bytes, some_bytes, headers), min_size=1, max_size=8)


def numbered(given: Sequence[Record]) -> list[Record]:
    """`given` with the offset deltas that an encoder gives them."""
    return [record._replace(offset_delta=delta) for delta, record in enumerate(given)]


def varint(number: int, width: int = 1) -> bytes:
    """A zigzag number, padded to at least `width` bytes."""
    left = (number << 1) ^ (number >> 63)
    parts = bytearray()
    while left > 127 or len(parts) + 1 < width:
        parts.append(left & 127 | 128)
        left >>= 7
    return bytes([*parts, left])


def sized(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def body(record: Record, base_timestamp_ms: int = TIMESTAMP_MS) -> bytes:
    """A record without its length."""
    pairs = b"".join(sized(key.encode()) + sized(value) for key, value in record.headers)
    start = b"\0" + varint(record.timestamp_ms - base_timestamp_ms) + varint(record.offset_delta)
    return start + sized(record.key) + sized(record.value) + varint(len(record.headers)) + pairs


def framed(*bodies: bytes) -> bytes:
    return b"".join(varint(len(one)) + one for one in bodies)


def batch_of(
    uncompressed: bytes,
    count: int,
    *,
    codec: int = 0,
    base_offset: int = 0,
    attributes: int = 0,
    last_offset_delta: int | None = None,
    base_timestamp_ms: int = TIMESTAMP_MS,
    max_timestamp_ms: int = TIMESTAMP_MS,
    producer_id: int = -1,
    leader_epoch: int = 3,
) -> bytes:
    """A batch around any bytes, with any header and a right length and CRC."""
    payload = compress(codec, uncompressed)
    last = count - 1 if last_offset_delta is None else last_offset_delta
    fields = (codec | attributes, last, base_timestamp_ms, max_timestamp_ms, producer_id, 0, 0, count)
    return resealed(LAYOUT.pack(base_offset, 0, leader_epoch, 2, 0, *fields) + payload)


def batch_with_holes(given: Sequence[Record], **header: int) -> bytes:
    """A batch of records at their own offset deltas, which may have holes between and after them."""
    times = [record.timestamp_ms for record in given] or [TIMESTAMP_MS]
    header = {"last_offset_delta": given[-1].offset_delta if given else 0, "max_timestamp_ms": max(times)} | header
    return batch_of(framed(*(body(record) for record in given)), len(given), **header)


def resealed(batch: bytes) -> bytes:
    """`batch` with the length and the CRC that its bytes ask for."""
    fields = list(LAYOUT.unpack_from(batch))
    fields[1] = len(batch) - 12
    fields[4] = crc32c(batch[21:])
    return LAYOUT.pack(*fields) + batch[HEADER_BYTES:]
