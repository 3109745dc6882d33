"""Protobuf varints, and the fields of a message as views into its bytes."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.batch.stamp import Buffer
from mesh.link.errors import FrameMalformed

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SHORT = [bytes([n]) for n in range(128)]


def encode(value: int) -> bytes:
    """`value` (0 to 2^64 - 1) as a varint; negative int64 values are sent as their two's complement."""
    value &= (1 << 64) - 1
    if value < 128:
        return _SHORT[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: memoryview, at: int) -> tuple[int, int]:
    """The varint at `at` and the index after it. Raises FrameMalformed."""
    result = shift = 0
    end = len(data)
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result & (1 << 64) - 1, at
        shift += 7
    raise FrameMalformed(f"a number runs past byte {at}")


def signed(value: int) -> int:
    """A decoded int64."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field of the message in `data`: its number, and an int or a view. Raises FrameMalformed."""
    at, end = 0, len(data)
    while at < end:
        tag, at = decode(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise FrameMalformed(f"field number {number}")
        if kind == VARINT:
            value, at = decode(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = decode(data, at)
        elif kind in {FIXED64, FIXED32}:
            size = 8 if kind == FIXED64 else 4
        else:
            raise FrameMalformed(f"field {number} has wire type {kind}")
        if size > end - at:
            raise FrameMalformed(f"field {number} runs past the end")
        yield number, data[at : at + size]
        at += size


def packed(value: int | memoryview) -> Iterator[int]:
    """The numbers of a repeated field, packed or one by one."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        number, at = decode(value, at)
        yield number


def tagged(number: int, value: int) -> bytes:
    return encode(number << 3 | VARINT) + encode(value) if value else b""


def length_prefix(number: int, size: int) -> bytes:
    return encode(number << 3 | BYTES) + encode(size)


def size_of(chunks: list[Buffer]) -> int:
    return sum(map(len, chunks))
