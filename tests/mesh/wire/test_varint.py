"""Numbers and fields of protobuf messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.link.errors import FrameMalformed
from mesh.wire.varint import decode, encode, fields, signed


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
def test_a_number_comes_back_with_the_index_after_it(value: int, rest: bytes) -> None:
    encoded = encode(value)
    assert decode(memoryview(encoded + rest), 0) == (value, len(encoded))


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_negative_numbers_are_twos_complements(value: int) -> None:
    assert signed(decode(memoryview(encode(value)), 0)[0]) == value


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 10, b"\xff" * 11])
def test_a_number_without_an_end_is_malformed(data: bytes) -> None:
    with pytest.raises(FrameMalformed):
        decode(memoryview(data), 0)


def test_ten_bytes_are_the_most() -> None:
    assert decode(memoryview(b"\xff" * 9 + b"\x01"), 0) == ((1 << 64) - 1, 10)


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x0a\x05abc", b"\x09abc", b"\x0dabc", b"\x0b", b"\x0c", b"\x0f"])
def test_fields_that_cannot_be_are_malformed(data: bytes) -> None:
    with pytest.raises(FrameMalformed):
        list(fields(memoryview(data)))
