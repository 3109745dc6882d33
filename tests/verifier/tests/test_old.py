"""Messages of the formats 0 and 1, written by another implementation, and what is wrong with damaged ones."""

from __future__ import annotations

import io
import struct
from zlib import crc32

import lz4.frame
import pytest
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from tests.verifier.batches import APPEND_TIME, Batch, Damaged, Record, decode, read_batches

GIVEN = [(b"k", b"v" * 50, 1_000), (None, b"", 3_000), (b"", None, 2_000)]
LZ4 = 3
CODECS = pytest.mark.parametrize("codec", [1, 2, 3], ids=["gzip", "snappy", "lz4"])


def written(magic: int, codec: int = 0, last_offset: int = 12) -> bytes:
    """The messages of GIVEN up to `last_offset`; without a codec they stand each for itself."""
    if (magic, codec) == (0, LZ4):
        return wrapped_as_before(written(0, last_offset=last_offset), last_offset)
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    first = last_offset - len(GIVEN) + 1
    for number, (key, value, timestamp_ms) in enumerate(GIVEN):
        offset = number if codec and magic else first + number
        assert builder.append(offset, timestamp=timestamp_ms if magic else None, key=key, value=value)
    data = bytearray(builder.build())
    if codec:
        data[:8] = last_offset.to_bytes(8, "big")
    return bytes(data)


def wrapped_as_before(messages: bytes, last_offset: int) -> bytes:
    """With a header checksum that no other reader of frames takes, as writers of format 0 made it."""
    frame = bytearray(lz4.frame.compress(messages))
    frame[14] ^= 0xFF
    checked = bytes([0, LZ4]) + struct.pack(">ii", -1, len(frame)) + bytes(frame)
    return struct.pack(">qiI", last_offset, len(checked) + 4, crc32(checked)) + checked


def expected(magic: int) -> list[Record]:
    return [
        Record(10 + number, timestamp_ms if magic else -1, key, value, [])
        for number, (key, value, timestamp_ms) in enumerate(GIVEN)
    ]


def records_in(data: bytes) -> list[Record]:
    found: list[Record] = []
    for batch in read_batches(io.BytesIO(data)):
        assert isinstance(batch, Batch), batch
        found += batch.records
    return found


@pytest.mark.parametrize("magic", [0, 1])
def test_messages_that_stand_alone(magic: int) -> None:
    assert records_in(written(magic)) == expected(magic)


@pytest.mark.parametrize("magic", [0, 1])
@CODECS
def test_messages_in_a_compressed_one(magic: int, codec: int) -> None:
    data = written(magic, codec)
    assert records_in(data) == expected(magic)
    header = decode(data).header
    assert (header.base_offset, header.last_offset, header.records, header.producer_id) == (10, 12, 3, -1)


def test_the_time_of_the_append_is_that_of_all() -> None:
    data = bytearray(written(1, 1))
    data[17] |= APPEND_TIME
    data[18:26] = struct.pack(">q", 7_000)
    data[12:16] = struct.pack(">I", crc32(data[16:]))
    assert [record.timestamp_ms for record in decode(bytes(data)).records] == [7_000] * 3


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1, 2, 3])
def test_every_flipped_bit_of_what_the_checksum_covers_is_found(magic: int, codec: int) -> None:
    data = written(magic, codec)
    size = 12 + int.from_bytes(data[8:12], "big")
    for at in (12, *range(17, size, 7)):
        damaged = bytearray(data[:size])
        damaged[at] ^= 0x10
        assert all(isinstance(each, Damaged) for each in read_batches(io.BytesIO(bytes(damaged)))), at


def test_a_message_that_is_cut_off_is_left_out_and_what_stands_before_it_is_read() -> None:
    assert records_in(written(1)[:-1]) == expected(1)[:-1]


def test_a_compressed_message_whose_offsets_do_not_end_at_its_own_is_refused() -> None:
    data = written(0, 1)
    with pytest.raises(ValueError, match="the last message within is at 12"):
        decode((13).to_bytes(8, "big") + data[8:])
