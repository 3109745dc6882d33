from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canonical_records import IS_COMPILED, Reader, is_canonical
from gateway.fast_records import check_records_fast
from mesh.batch.encode import encode
from mesh.batch.errors import BatchPoison
from mesh.batch.header import HEADER_BYTES, parse_header
from mesh.batch.records import Record, check_records
from tests.support.poison import POISON
from tests.support.records import TIMESTAMP_MS, batch_of, numbered, records


def verdict(payload: bytes, count: int, **fields: int) -> str:
    """What the strict check says; the fast one says the same, and takes for canonical only what is accepted."""
    header = parse_header(batch_of(payload, count, **fields))
    said = []
    for check in (check_records, check_records_fast):
        try:
            check(header, payload)
            said.append("")
        except BatchPoison as error:
            said.append(str(error))
    assert said[0] == said[1]
    assert not (is_canonical(header, payload) and said[0])
    return said[0]


def test_the_compiled_reader_is_in_use() -> None:
    assert IS_COMPILED
    assert not str(sys.modules[Reader.__module__].__file__).endswith(".py")


@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused_with_the_same_words(name: str) -> None:
    payload, count, _, _ = POISON[name]
    assert verdict(payload, count)


def test_ordinary_batches_are_canonical() -> None:
    some = [Record(0, TIMESTAMP_MS + delta, b"k", b"v" * delta, (("h", None), ("h", b""))) for delta in range(300)]
    batch = encode(some)
    assert is_canonical(parse_header(batch), batch[HEADER_BYTES:])
    without_times = encode([Record(0, -1, None, b"v")])
    assert not is_canonical(parse_header(without_times), without_times[HEADER_BYTES:])
    check_records_fast(parse_header(without_times), without_times[HEADER_BYTES:])


@pytest.mark.parametrize("base", [-(1 << 63), (1 << 63) - 1, -2])
@pytest.mark.parametrize("delta", [0, -1, 1, (1 << 63) - 1, -(1 << 63)])
def test_timestamps_at_the_edge(base: int, delta: int) -> None:
    first = encode([Record(0, 0, None, None), Record(1, delta, None, None)])[HEADER_BYTES:]
    overflows = not -(1 << 63) <= base + delta < 1 << 63
    assert bool(verdict(first, 2, base_timestamp_ms=base)) == overflows


@given(records)
def test_every_encoded_batch_is_accepted(some: list[Record]) -> None:
    batch = encode(some)
    header = parse_header(batch)
    assert verdict(batch[HEADER_BYTES:], len(some), base_timestamp_ms=header.base_timestamp_ms) == ""


@settings(max_examples=150)
@given(records, st.data())
def test_both_say_the_same_of_changed_batches(some: list[Record], data: st.DataObject) -> None:
    payload = bytearray(encode(numbered(some))[HEADER_BYTES:])
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.sampled_from([0, 1, 2, 3, 127, 128, 255]))
    base = data.draw(st.sampled_from([TIMESTAMP_MS, some[0].timestamp_ms, -1, (1 << 63) - 1]))
    verdict(bytes(payload), len(some) + data.draw(st.integers(-1, 1)), base_timestamp_ms=base)


@given(st.binary(max_size=60), st.integers(-1, 5))
def test_both_say_the_same_of_any_bytes(payload: bytes, count: int) -> None:
    verdict(payload, count)
