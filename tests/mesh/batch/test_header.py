from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.batch.encode import encode
from mesh.batch.errors import BatchTruncated, LogUnreadable, OldFormat
from mesh.batch.header import HEADER_BYTES, Codec, epoch_before, parse_header, split
from mesh.batch.records import Record
from mesh.batch.stamp import Producer
from tests.support.records import TIMESTAMP_MS, batch_of

ONE = encode([Record(0, TIMESTAMP_MS, b"k", b"v")], base_offset=7, producer=Producer(9, 2), base_sequence=5)
TWO = encode([Record(0, TIMESTAMP_MS, None, b"w")] * 2, base_offset=8, codec=Codec.ZSTD)


def test_every_field_is_read_from_its_place() -> None:
    header = parse_header(b"xx" + ONE, 2)
    assert header[:4] == (7, len(ONE) - 12, -1, 2)
    assert header[5:] == (0, 0, TIMESTAMP_MS, TIMESTAMP_MS, 9, 2, 5, 1)
    assert (header.next_offset, header.last_offset, header.size_bytes) == (8, 7, len(ONE))


def test_attributes_are_bits() -> None:
    header = parse_header(batch_of(b"", 0, attributes=0x38, last_offset_delta=4))
    assert (header.is_log_append_time, header.is_transactional, header.is_control) == (True, True, True)
    assert (header.codec, header.is_dense, header.next_offset) == (Codec.NONE, False, 5)
    assert parse_header(TWO).codec == Codec.ZSTD


@pytest.mark.parametrize("size", range(len(TWO) + 1))
def test_a_cut_last_batch_is_left_out(size: int) -> None:
    found = list(split(memoryview(ONE + TWO[:size])))
    assert [bytes(batch) for _, batch in found] == [ONE, TWO][: 1 + (size == len(TWO))]


def test_a_batch_is_a_view_of_the_answer() -> None:
    data = memoryview(ONE + TWO)
    assert all(batch.obj is data.obj for _, batch in split(data))


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("size", [17, 34, 200])
def test_an_old_message_is_refused_by_its_offset_however_short(magic: int, size: int) -> None:
    old = (41).to_bytes(8, "big") + (size - 12).to_bytes(4, "big") + bytes(4) + bytes([magic]) + bytes(size - 17)
    with pytest.raises(OldFormat, match=f"old format {magic} at offset 41"):
        list(split(memoryview(ONE + old)))
    with pytest.raises((OldFormat, BatchTruncated)):
        parse_header(old)


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [(8, -1, "length"), (8, 48, "length"), (23, -1, "last offset delta"), (16, 3 << 24, "format 3")],
)
def test_what_is_no_batch_is_refused(at: int, value: int, why: str) -> None:
    broken = ONE[:at] + value.to_bytes(4, "big", signed=True) + ONE[at + 4 :]
    with pytest.raises(LogUnreadable, match=why) as caught:
        list(split(memoryview(TWO + broken)))
    assert caught.value.offset == 7


def test_a_short_header_is_truncated() -> None:
    with pytest.raises(BatchTruncated, match="60 bytes where 61"):
        parse_header(ONE[: HEADER_BYTES - 1])


@given(
    st.binary(max_size=200) | st.tuples(st.binary(max_size=30), st.binary(max_size=80)).map(lambda t: t[0] + ONE + t[1])
)
def test_any_bytes_give_whole_batches_or_a_documented_error(data: bytes) -> None:
    try:
        found = list(split(memoryview(data)))
    except (OldFormat, LogUnreadable):
        return
    assert b"".join(batch for _, batch in found) == data[: sum(len(batch) for _, batch in found)]


def _of_epoch(batch: bytes, epoch: int) -> bytes:
    return batch[:12] + epoch.to_bytes(4, "big") + batch[16:]


@pytest.mark.parametrize(("offset", "epoch"), [(0, -1), (7, -1), (8, 3), (9, 5), (10, 5), (99, 5)])
def test_a_reader_knows_the_epoch_of_the_last_batch_before_its_position(offset: int, epoch: int) -> None:
    data = memoryview(_of_epoch(ONE, 3) + _of_epoch(TWO, 5))
    assert epoch_before(data, offset) == epoch


@given(st.binary(max_size=200), st.integers(0, 1 << 62))
def test_an_epoch_is_sought_in_anything_without_harm(data: bytes, offset: int) -> None:
    assert -(1 << 31) <= epoch_before(memoryview(data), offset) < 1 << 31
