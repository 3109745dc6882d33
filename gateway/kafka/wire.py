"""Kafka's flexible encoding, as far as the two hot messages need it.

Lengths are unsigned varints; compact lengths are stored plus one, zero meaning null. The functions that read take a
buffer and a position and return the value and the position after it.
"""

from __future__ import annotations


def uvarint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def compact(text: str) -> bytes:
    data = text.encode()
    return uvarint(len(data) + 1) + data


def read_uvarint(buffer: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 28:
            raise ValueError("a length of more than five bytes")


def read_length(buffer: memoryview, at: int) -> tuple[int, int]:
    """A compact length; -1 stands for null."""
    value, at = read_uvarint(buffer, at)
    return value - 1, at


def read_tags(buffer: memoryview, at: int) -> tuple[dict[int, memoryview], int]:
    """The tagged fields, undecoded."""
    count, at = read_uvarint(buffer, at)
    tags: dict[int, memoryview] = {}
    for _ in range(count):
        tag, at = read_uvarint(buffer, at)
        size, at = read_uvarint(buffer, at)
        tags[tag] = buffer[at : at + size]
        at += size
    return tags, at
