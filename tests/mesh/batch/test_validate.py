from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fast_records import check_records_fast
from mesh.batch.encode import encode
from mesh.batch.errors import (
    BatchCorrupt,
    BatchForbidden,
    BatchInflates,
    BatchOversized,
    BatchPoison,
    BatchTruncated,
    BatchUndecodable,
)
from mesh.batch.header import Codec, parse_header
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.records import Record
from mesh.batch.validate import KEPT_BYTES, sound, validate
from mesh.errors import PeerError
from tests.support.poison import POISON
from tests.support.records import TIMESTAMP_MS, batch_of, batch_with_holes, records, resealed

RECORDS = [Record(delta, TIMESTAMP_MS, b"k", b"v" * 50) for delta in range(4)]
BATCH = encode(RECORDS)


def refusal(batch: bytes, limits: Limits = DEFAULT_LIMITS) -> PeerError:
    with pytest.raises(PeerError) as caught:
        validate(memoryview(batch), limits)
    return caught.value


@pytest.mark.parametrize("codec", list(Codec))
def test_what_the_new_stamp_overwrites_may_be_anything(codec: Codec) -> None:
    batch = batch_with_holes(RECORDS, codec=codec, base_offset=99, attributes=0x50, producer_id=7, leader_epoch=12)
    assert validate(memoryview(batch), DEFAULT_LIMITS) == parse_header(batch)


@pytest.mark.parametrize("size", [*range(0, 70, 7), len(BATCH) - 1])
def test_a_cut_batch(size: int) -> None:
    error = refusal(BATCH[:size])
    assert isinstance(error, BatchTruncated)
    assert error.data == {"expected_bytes": 61 if size < 61 else len(BATCH), "actual_bytes": size}


def test_two_batches_are_not_one() -> None:
    assert isinstance(refusal(BATCH + BATCH), BatchTruncated)


@pytest.mark.parametrize("at", [17, 21, 30, 57, 61, len(BATCH) - 1])
def test_a_changed_byte(at: int) -> None:
    error = refusal(BATCH[:at] + bytes([BATCH[at] ^ 4]) + BATCH[at + 1 :])
    assert isinstance(error, BatchCorrupt)
    assert (error.code, error.stated_crc == error.computed_crc) == ("batch-corrupt", False)


FORBIDDEN = {
    "the format 1": BATCH[:16] + b"\1" + BATCH[17:],
    "control records": batch_with_holes(RECORDS, attributes=0x20),
    "append time": batch_with_holes(RECORDS, attributes=0x08),
    "codec 5 is unknown": batch_with_holes(RECORDS, attributes=0x05),
    "states 0 records": batch_of(b"", 0),
    "states 0 records ": batch_of(b"", 0, last_offset_delta=0),
    "states -3 records": batch_of(b"", -3),
    "last offset delta is 7 with 4 records": batch_with_holes(RECORDS, last_offset_delta=7),
    "last offset delta is -1 with 4 records": batch_with_holes(RECORDS, last_offset_delta=-1),
}


@pytest.mark.parametrize("why", FORBIDDEN)
def test_a_batch_that_may_not_be_mirrored(why: str) -> None:
    error = refusal(FORBIDDEN[why])
    assert isinstance(error, BatchForbidden)
    assert why.strip() in str(error)


@pytest.mark.parametrize("name", POISON)
@pytest.mark.parametrize("codec", [Codec.NONE, Codec.ZSTD])
def test_poison(name: str, codec: Codec) -> None:
    payload, count, why, _ = POISON[name]
    error = refusal(batch_of(payload, count, codec=codec))
    assert isinstance(error, BatchPoison)
    assert re.search(why, str(error))
    assert error.remedy
    assert error.code == "batch-poison"


def test_limits() -> None:
    by_bytes = refusal(BATCH, Limits(max_batch_bytes=len(BATCH) - 1))
    by_count = refusal(BATCH, Limits(max_records=3))
    assert isinstance(by_bytes, BatchOversized)
    assert isinstance(by_count, BatchOversized)
    assert (str(by_count), by_bytes.what) == ("a batch holds 4 records, more than the 3 we accept", "bytes")
    for codec in Codec:
        assert isinstance(refusal(encode(RECORDS, codec=codec), Limits(max_uncompressed_bytes=100)), BatchInflates)


def test_a_broken_compressed_block() -> None:
    error = refusal(resealed(encode(RECORDS, codec=Codec.GZIP)[:-3]))
    assert isinstance(error, BatchUndecodable)
    assert "ends early" in str(error)


@pytest.mark.parametrize("checker", [None, check_records_fast])
@given(data=st.data())
def test_any_bytes_give_a_header_or_a_documented_error(
    checker: Callable[..., None] | None, data: st.DataObject
) -> None:
    batch = bytearray(encode(data.draw(records), codec=data.draw(st.sampled_from(list(Codec)))))
    for _ in range(data.draw(st.integers(0, 3))):
        batch[data.draw(st.integers(0, len(batch) - 1))] = data.draw(st.integers(0, 255))
    batch = batch[: data.draw(st.integers(0, len(batch)))] if data.draw(st.booleans()) else batch
    if len(batch) >= 61 and data.draw(st.booleans()):
        batch = bytearray(resealed(bytes(batch)))
    try:
        header = validate(memoryview(batch), DEFAULT_LIMITS, *([checker] if checker else []))
    except PeerError:
        return
    assert header.is_dense


@pytest.mark.parametrize("codec", list(Codec))
def test_an_entry_may_be_several_batches_and_each_is_judged_as_if_it_had_come_alone(codec: Codec) -> None:
    one, other = encode(RECORDS, codec=codec), encode(RECORDS[:1])
    found = list(sound(memoryview(one + other + one), DEFAULT_LIMITS))
    assert [bytes(each.batch) for each in found] == [one, other, one]
    assert [each.records_count for each in found] == [4, 1, 4]
    broken = one[:70] + bytes([one[70] ^ 1]) + one[71:]
    for after in (one, b""):
        judged = sound(memoryview(other + broken + after), DEFAULT_LIMITS)
        assert bytes(next(judged).batch) == other
        with pytest.raises(BatchCorrupt):
            next(judged)


@pytest.mark.parametrize("entry", [b"", BATCH + b"\0", BATCH + BATCH[:-1], BATCH[:-1], BATCH + BATCH[:40]])
def test_an_entry_ends_with_a_batch(entry: bytes) -> None:
    with pytest.raises(BatchTruncated):
        list(sound(memoryview(entry), DEFAULT_LIMITS))


def test_large_records_are_not_kept() -> None:
    zeros = encode([Record(0, TIMESTAMP_MS, None, bytes(KEPT_BYTES))], codec=Codec.LZ4)
    assert [each.records is None for each in sound(memoryview(zeros + BATCH), DEFAULT_LIMITS)] == [True, False]
