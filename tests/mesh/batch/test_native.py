"""The contract of `mesh.batch.native`, for the twin and, where there is one, for the compiled part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.batch import native, twin
from mesh.batch.encode import encode
from mesh.batch.errors import BatchPoison
from mesh.batch.header import HEADER_BYTES, Codec, parse_header
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import Record, iter_records
from mesh.batch.stamp import Buffer
from mesh.batch.twin import Admitted, Part, Stretch
from mesh.batch.validate import validate
from tests.support.poison import POISON
from tests.support.records import TIMESTAMP_MS, batch_of, batch_with_holes, framed, records, sized, varint

MAX_I64 = (1 << 63) - 1
MANY = 1 << 30


class Native(Protocol):
    """Of `native`, what is either compiled or the twin's."""

    def stretch(
        self, data: Buffer, at: int, position: int, stable: int, max_bytes: int, transactional: bool, /
    ) -> Stretch: ...
    def admitted(self, data: Buffer, max_batch_bytes: int, max_records: int, /) -> list[Admitted]: ...
    def are_records(self, payload: Buffer, count: int, base_timestamp_ms: int, /) -> bool: ...
    def merged(self, parts: Sequence[Part], /) -> bytes: ...
    def blank(self, size_bytes: int, /) -> bytearray: ...


BOTH = [cast(Native, module) for module in ((twin, native) if native.IS_COMPILED else (twin,))]

each = pytest.mark.parametrize("of", BOTH, ids=["twin", "compiled"][: len(BOTH)])


def some_record(size: int = 20, timestamp_ms: int = TIMESTAMP_MS) -> Record:
    return Record(0, timestamp_ms, b"k", b"v" * size)


def log(*sizes: int, first: int = 100) -> bytes:
    """One batch of three records for each size, one after another from offset `first`."""
    return b"".join(
        encode([some_record(size)] * 3, base_offset=first + 3 * index, codec=Codec.LZ4)
        for index, size in enumerate(sizes)
    )


def payload_of(batch: bytes) -> bytes:
    return batch[HEADER_BYTES:]


# --- stretch


@each
def test_a_stretch_is_all_that_follows_each_other(of: Native) -> None:
    one, two = log(10), log(9000, first=103)
    found = of.stretch(one + two + log(10, first=107), 0, 100, MAX_I64, MANY, False)
    assert found == Stretch(len(one + two), 6, 106, TIMESTAMP_MS, -1)


@each
def test_a_stretch_begins_where_it_is_asked_and_at_its_position(of: Native) -> None:
    data = log(10, 10)
    half = len(data) // 2
    assert of.stretch(data, half, 103, MAX_I64, MANY, False).size_bytes == half
    nothing = Stretch(0, 0, 104, -1, -1)
    for at in (-1, half - 1, half, len(data), len(data) + 1):
        assert of.stretch(data, at, 104, MAX_I64, MANY, False) == nothing


@each
def test_a_stretch_ends_at_the_stable_offset_and_at_the_bytes_asked_for(of: Native) -> None:
    data = log(10, 10, 10)
    size = len(data) // 3
    taken = [of.stretch(data, 0, 100, stable, MANY, False).size_bytes for stable in (102, 103, 105, 106)]
    assert taken == [0, size, size, 2 * size]
    limits = (0, size, 2 * size - 1, 2 * size, 3 * size)
    taken = [of.stretch(data, 0, 100, MAX_I64, limit, False).size_bytes for limit in limits]
    assert taken == [size, size, size, 2 * size, 3 * size]


@each
def test_a_stretch_states_the_epoch_of_its_last_batch_and_the_latest_time(of: Native) -> None:
    payload = payload_of(encode([some_record()]))
    data = batch_of(payload, 1, leader_epoch=4, max_timestamp_ms=-9)
    assert of.stretch(data, 0, 0, 9, MANY, False)[3:] == (-1, 4)
    data += batch_of(payload, 1, base_offset=1, leader_epoch=5, max_timestamp_ms=77)
    assert of.stretch(data, 0, 0, 9, MANY, False)[3:] == (77, 5)


@each
@pytest.mark.parametrize(
    "changed",
    [
        {"attributes": 0x08},
        {"attributes": 0x20},
        {"attributes": 0x10},
        {"attributes": 0x05},
        {"last_offset_delta": 5},
        {"last_offset_delta": -1},
        {"count": 0},
        {"count": -1},
    ],
)
def test_an_unusual_batch_is_left_to_others(of: Native, changed: dict[str, int]) -> None:
    data = batch_of(payload_of(encode([some_record()])), **({"count": 1} | changed))
    assert of.stretch(data, 0, 0, 99, MANY, False).size_bytes == 0
    assert of.stretch(data, 0, 0, 99, MANY, True).records == (changed == {"attributes": 0x10})
    if changed != {"attributes": 0x10}:
        assert of.admitted(data, MANY, 99) == []


@each
@pytest.mark.parametrize("at", [8, 11, 16, 17, 30, 70])
def test_a_damaged_batch_is_left_to_others(of: Native, at: int) -> None:
    data = bytearray(encode([some_record()]))
    data[at] ^= 1
    assert of.stretch(data, 0, 0, 99, MANY, False).size_bytes == 0
    assert of.admitted(data, MANY, 99) == []


@each
def test_offsets_that_overflow_are_left_to_others(of: Native) -> None:
    payload = payload_of(encode([some_record()] * 2))
    for base, count in ((MAX_I64 - 2, 2), (MAX_I64 - 1, 0), (MAX_I64, 0)):
        data = batch_of(payload, 2, base_offset=base)
        assert of.stretch(data, 0, base, MAX_I64, MANY, False).records == count


@each
def test_a_length_that_lies_is_left_to_others(of: Native) -> None:
    data = encode([some_record()])
    for length in (-1 << 31, -1, 0, 48, len(data) - 11, (1 << 31) - 1):
        lying = data[:8] + length.to_bytes(4, "big", signed=True) + data[12:]
        assert of.stretch(lying, 0, 0, 99, MANY, False).size_bytes == 0
        assert of.admitted(lying, MANY, 99) == []


# --- admitted


@each
def test_batches_are_admitted_up_to_the_first_that_is_not(of: Native) -> None:
    good, packed = encode([some_record()] * 2), encode([some_record(700)] * 9, codec=Codec.ZSTD)
    poison = batch_of(POISON["repeated deltas"][0], 2)
    first = Admitted(0, len(good), 0, 2, TIMESTAMP_MS, TIMESTAMP_MS, True)
    second = Admitted(len(good), len(packed), Codec.ZSTD, 9, TIMESTAMP_MS, TIMESTAMP_MS, False)
    assert of.admitted(good + packed + poison + good, MANY, 9) == [first, second]
    assert of.admitted(good + packed, MANY, 8) == [first]
    assert of.admitted(good + packed, len(good), 9) == [first]
    assert of.admitted(good + packed[:-1], MANY, 9) == [first]
    assert of.admitted(good, len(good) - 1, 9) == of.admitted(b"", MANY, 9) == []


@each
def test_what_comes_back_has_names(of: Native) -> None:
    (found,) = of.admitted(encode([some_record()]), MANY, 9)
    assert type(found) is Admitted
    assert found.records_checked is True
    assert type(of.stretch(b"", 0, 0, 0, 0, False)) is Stretch


@pytest.mark.parametrize("size", [*range(20), 1535, 1536, 1537, 3071, 3072, 3200, 5000, 300_000])
def test_a_sum_is_right_at_every_length_and_place(size: int) -> None:
    """Of the bytes under the CRC there are 40 more."""
    data = batch_of(bytes(range(256)) * (size // 256) + bytes(range(size % 256)), 1)
    for shift in range(0, 9, 4):
        shifted = memoryview(b"-" * shift + data)
        assert native.stretch(shifted, shift, 0, 9, MANY, False).size_bytes == len(data)
    broken = data[:-1] + bytes([data[-1] ^ 0x80])
    assert native.stretch(broken, 0, 0, 9, MANY, False).size_bytes == 0


# --- are_records


@each
@pytest.mark.parametrize("name", POISON)
def test_poison_is_not_records(of: Native, name: str) -> None:
    payload, count, _, _ = POISON[name]
    assert not of.are_records(payload, count, TIMESTAMP_MS)
    with pytest.raises(ValueError, match="a part is not records"):
        of.merged([(payload, count, TIMESTAMP_MS)])


@each
def test_records_are_records_whatever_holds_them(of: Native) -> None:
    payload = payload_of(encode([some_record()] * 3))
    for held in (payload, bytearray(payload), memoryview(b"x" + payload)[1:]):
        assert of.are_records(held, 3, TIMESTAMP_MS)
        assert not of.are_records(held, 2, TIMESTAMP_MS)
    assert of.are_records(b"", 0, 0)
    assert not of.are_records(b"", -1, 0)


@each
@pytest.mark.parametrize("key", ["", "a", "é", "€", "𐍈", "\U0010ffff", "\ud7ff\ue000", "x" * 40 + "é" * 9])
def test_header_keys_are_any_text(of: Native, key: str) -> None:
    assert of.are_records(payload_of(encode([Record(0, 0, None, None, ((key, None),))])), 1, 0)


@each
@pytest.mark.parametrize(
    "key",
    [b"\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80",
     b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xe2\x28\xa1", b"\xf0\x28\x8c\xbc", b"12345678\xff", b"\xc3(", b"\xff"],
)  # fmt: skip
def test_header_keys_are_nothing_but_text(of: Native, key: bytes) -> None:
    payload = framed(b"\0\0\0" + varint(-1) * 2 + varint(1) + sized(key) + varint(-1))
    assert not of.are_records(payload, 1, 0)


@each
def test_timestamps_stay_within_64_bits(of: Native) -> None:
    def with_delta(delta: int) -> bytes:
        return framed(b"\0" + varint(delta) + b"\0" + varint(-1) * 2 + b"\0")

    assert of.are_records(with_delta(MAX_I64), 1, 0)
    assert of.are_records(with_delta(-MAX_I64 - 1), 1, MAX_I64)
    assert not of.are_records(with_delta(1), 1, MAX_I64)
    assert not of.are_records(with_delta(-MAX_I64 - 1), 1, -1)


def with_headers(*counts: int) -> bytes:
    start = (b"\0\0" + varint(delta) + varint(-1) * 2 for delta in range(len(counts)))
    return framed(*(each + varint(count) + b"\0\1" * count for each, count in zip(start, counts, strict=True)))


@each
def test_a_record_has_so_many_headers_at_most(of: Native) -> None:
    assert of.are_records(with_headers(100_000), 1, 0)
    assert not of.are_records(with_headers(100_001), 1, 0)


def test_a_batch_has_so_many_headers_at_most() -> None:
    full = with_headers(*[100_000] * 10)
    assert native.are_records(full, 10, 0)
    with pytest.raises(ValueError, match="more than a batch may have"):
        native.merged([(full, 10, 0), (with_headers(1), 1, 0)])


# --- merged


@each
@settings(max_examples=20)
@given(st.lists(records, max_size=4))
def test_merged_records_are_the_records_of_all_parts(of: Native, lists: list[list[Record]]) -> None:
    batches = [encode(some) for some in lists]
    parts = [(payload_of(batch), len(some), some[0].timestamp_ms) for batch, some in zip(batches, lists, strict=True)]
    everything = [record for some in lists for record in some]
    assert of.merged(parts) == (payload_of(encode(everything)) if everything else b"")


@each
def test_what_a_record_holds_is_merged_as_it_is_written(of: Native) -> None:
    rest = varint(-1, 3) + varint(1, 2) + b"v" + varint(1, 2) + varint(1, 3) + b"h" + varint(-1, 2)
    payload = framed(b"\0" + varint(3, 10) + varint(0, 5) + rest)
    out = of.merged([(payload, 1, 50), (memoryview(payload), 1, 40)])
    assert out == framed(b"\0\6\0" + rest, b"\0" + varint(-7) + b"\2" + rest)


@each
def test_timestamps_too_far_apart_are_not_merged(of: Native) -> None:
    low, high = (payload_of(encode([some_record(1, time)])) for time in (-5, MAX_I64))
    with pytest.raises(ValueError, match="too far apart"):
        of.merged([(low, 1, -5), (high, 1, MAX_I64)])
    assert of.merged([(low, 1, -5), (high, 1, MAX_I64 - 5)])


@each
def test_parts_that_are_no_parts_are_refused(of: Native) -> None:
    with pytest.raises((TypeError, ValueError)):
        of.merged([b"no part"])  # type: ignore[list-item]


# --- laws, for batches, damaged batches and any bytes

batches = st.one_of(
    records.map(encode),
    st.builds(encode, records, codec=st.sampled_from(list(Codec)), base_offset=st.integers(0, 9)),
    records.map(lambda some: batch_with_holes(some, attributes=0x10)),
    st.sampled_from([POISON[name] for name in POISON]).map(lambda one: batch_of(one[0], one[1])),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(b"".join(draw(st.lists(batches, min_size=1, max_size=3))))
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=2)):
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@settings(max_examples=60)
@given(damaged(), st.integers(0, 3), st.integers(0, 12), st.booleans())
def test_both_say_the_same_of_any_bytes(data: bytes, position: int, stable: int, transactional: bool) -> None:
    asked = (data, 0, position, stable, len(data) // 2, transactional)
    assert native.stretch(*asked) == twin.stretch(*asked)
    found = native.admitted(data, 4000, 7)
    assert found == twin.admitted(data, 4000, 7)
    for one in found:
        header = parse_header(data, one.at)
        assert (header.size_bytes, header.codec, header.records_count) == one[1:4]
        assert (header.base_timestamp_ms, header.max_timestamp_ms) == one[4:6]
        if one.records_checked:
            assert validate(memoryview(data)[one.at : one.at + one.size_bytes], DEFAULT_LIMITS) == header


@each
@settings(max_examples=60)
@given(st.binary(max_size=60), st.integers(-2, 9), st.integers(-MAX_I64 - 1, MAX_I64))
def test_records_are_what_the_strict_walk_takes(of: Native, payload: bytes, count: int, base: int) -> None:
    header = parse_header(batch_of(payload, count, base_timestamp_ms=base))
    try:
        list(iter_records(header, payload, dense=True))
    except BatchPoison:
        assert not of.are_records(payload, count, base)
    else:
        assert of.are_records(payload, count, base)


# --- blank


@each
def test_a_blank_buffer_has_its_size_and_can_be_filled(of: Native) -> None:
    for size in (0, 1, 4096, 1 << 20):
        buffer = of.blank(size)
        assert type(buffer) is bytearray
        assert len(buffer) == size
        memoryview(buffer)[:] = b"x" * size
        assert buffer == b"x" * size
    with pytest.raises(ValueError, match="negative"):
        of.blank(-1)
    with pytest.raises(OverflowError):
        of.blank(1 << 70)
