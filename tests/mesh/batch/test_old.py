"""Old messages, as Java wrote them, become batches of format 2 with the same records at the same offsets."""

from __future__ import annotations

import zlib
from contextlib import suppress

import lz4.frame
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.batch.errors import LogUnreadable
from mesh.batch.header import HEADER_BYTES, Codec
from mesh.batch.old import split_any
from mesh.batch.records import Record, records_of
from tests.support.golden import GOLDEN_OFFSET, JAVA
from tests.support.old_messages import APPEND_MS, OLD_OFFSETS, OLD_RECORDS, OLD_SETS, Key

PLAIN = OLD_SETS[1, Codec.NONE, False]


def read(data: bytes) -> list[tuple[int, Record]]:
    return [
        (header.base_offset + record.offset_delta, record._replace(offset_delta=0))
        for header, batch in split_any(memoryview(data))
        for record in records_of(header, batch[HEADER_BYTES:])
    ]


def expected(key: Key) -> list[tuple[int, Record]]:
    magic, _, is_append_time = key
    stamps = [-1 if magic == 0 else APPEND_MS if is_append_time else record.timestamp_ms for record in OLD_RECORDS]
    made = [r._replace(offset_delta=0, timestamp_ms=stamp) for r, stamp in zip(OLD_RECORDS, stamps, strict=True)]
    return list(zip(OLD_OFFSETS, made, strict=True))


@pytest.mark.parametrize("key", OLD_SETS, ids=str)
def test_what_java_wrote_is_read_record_for_record(key: Key) -> None:
    assert read(OLD_SETS[key]) == expected(key)
    (header, _), *_ = split_any(memoryview(OLD_SETS[key]))
    assert (header.base_offset, header.next_offset, header.codec) == (40, 45, key[1])
    assert (header.leader_epoch, header.producer_id) == (-1, -1)


@pytest.mark.parametrize("key", OLD_SETS, ids=str)
def test_a_cut_last_message_is_left_out_wherever_it_is_cut(key: Key) -> None:
    whole = read(OLD_SETS[key])
    for size in range(len(OLD_SETS[key])):
        found = read(OLD_SETS[key][:size])
        assert found == whole[: len(found)]
        assert len(found) < len(whole)


def test_old_and_new_lie_in_one_answer_in_any_order() -> None:
    new = JAVA[Codec.GZIP]
    later = (100).to_bytes(8, "big") + new[8:]
    found = read(PLAIN + later + PLAIN)
    assert [offset for offset, _ in found] == [*OLD_OFFSETS, 100, 101, 102, *OLD_OFFSETS]
    assert [offset for offset, _ in read(new + PLAIN)][:3] == [GOLDEN_OFFSET + n for n in range(3)]


def test_messages_that_stand_alone_leave_together() -> None:
    """One batch for each would cost 61 bytes and a request part a record."""
    assert len(list(split_any(memoryview(PLAIN)))) == 1


def message(magic: int, attributes: int, value: bytes, offset: int = 7) -> bytes:
    body = bytes([magic, attributes]) + bytes(8) * magic + b"\xff" * 4 + len(value).to_bytes(4, "big") + value
    framed = zlib.crc32(body).to_bytes(4, "big") + body
    return offset.to_bytes(8, "big") + len(framed).to_bytes(4, "big") + framed


DAMAGED = {
    "a CRC": (PLAIN[:12] + b"\0\0\0\0" + PLAIN[16:], "it states 0x00000000"),
    "a codec": (message(1, 4, b""), "has codec 4"),
    "a size": (PLAIN[:8] + b"\0\0\0\5" + PLAIN[12:], "states 5 bytes"),
    "a wrapper in a wrapper": (message(1, 1, zlib.compress(message(1, 1, b""), wbits=31)), "compressed again"),
    "another format inside": (message(1, 1, zlib.compress(message(0, 0, b""), wbits=31)), "another format"),
    "nothing inside": (message(1, 1, zlib.compress(b"", wbits=31)), "whole messages"),
    "a cut message inside": (message(1, 1, zlib.compress(message(1, 0, b"")[:-1], wbits=31)), "whole messages"),
    "no gzip": (message(1, 1, b"rubbish"), "gzip"),
    "no lz4": (message(0, 3, b"x"), "lz4"),
    "offsets that fall": (message(1, 0, b"", 7) + message(1, 0, b"", 7), "comes after offset 7"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_named_with_its_offset(what: str) -> None:
    data, why = DAMAGED[what]
    with pytest.raises(LogUnreadable, match=why):
        read(data)


def test_the_lz4_frames_of_format_0_have_a_checksum_that_lz4_refuses() -> None:
    frame = OLD_SETS[0, Codec.LZ4, False][26:]
    with pytest.raises(RuntimeError):
        lz4.frame.decompress(frame)
    assert read(OLD_SETS[0, Codec.LZ4, False])


@given(st.binary(max_size=200), st.integers(0, 400))
@example(b"\1", 16)
def test_any_bytes_give_batches_or_a_named_error(noise: bytes, at: int) -> None:
    data = bytearray(OLD_SETS[1, Codec.SNAPPY, False] + PLAIN)
    data[at : at + len(noise)] = noise
    with suppress(LogUnreadable):
        read(bytes(data))
