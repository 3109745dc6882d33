"""Decodes messages of the formats 0 and 1, which old segments of a source still hold.

    at  field      type                      at  field          type
     0  offset     i64                       16  magic          i8, 0 or 1
     8  size       i32, of what follows      17  attributes     i8: codec, append time (format 1)
    12  CRC-32     u32, of all behind it     18  timestamp      i64, format 1 only
                                             …   key, value     i32 length and bytes, -1 null

The value of a compressed message is messages: with their own offsets in format 0, in format 1 counted so that the last
one has the offset of the message around them. Format 0 knows no timestamps, and its writers made the header checksum
of LZ4 frames in a way of their own, so its blocks are read without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from lz4.block import LZ4BlockError, decompress

from tests.verifier.codecs import UNPACKED_LIMIT_BYTES, unpack

HEAD = Struct(">qiIbb")
TIMESTAMP = Struct(">q")
LENGTH = Struct(">i")
LEAST_BYTES = 14
"""What the size states of the smallest message of format 0."""
CODEC_BITS, APPEND_TIME = 0x07, 0x08
LZ4 = 3
_LZ4_BLOCK_BYTES = 4 << 20


class Message(NamedTuple):
    offset: int
    magic: int
    attributes: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


def messages_in(raw: bytes) -> tuple[Message, list[Message]]:
    """The message of which `raw` is the whole, and the messages that are its records. Raises ValueError."""
    outer, end = _message(raw, 0)
    if end != len(raw):
        raise ValueError(f"{len(raw) - end} bytes lie behind the message")
    if not outer.attributes & CODEC_BITS:
        return outer, [outer]
    inner = list(_opened(outer))
    if not inner:
        raise ValueError("a compressed message holds none")
    shift = outer.offset - inner[-1].offset if outer.magic else 0
    if outer.magic and outer.attributes & APPEND_TIME:
        inner = [each._replace(timestamp_ms=outer.timestamp_ms) for each in inner]
    inner = [each._replace(offset=each.offset + shift) for each in inner]
    if any(later.offset <= former.offset for former, later in pairwise(inner)):
        raise ValueError("the offsets within a compressed message do not rise")
    if inner[-1].offset != outer.offset:
        raise ValueError(f"the last message within is at {inner[-1].offset}, the one around it at {outer.offset}")
    return outer, inner


def _opened(outer: Message) -> Iterator[Message]:
    codec, packed = outer.attributes & CODEC_BITS, outer.value or b""
    data = _lz4_blocks(packed) if codec == LZ4 and outer.magic == 0 else unpack(codec, packed)
    at = 0
    while at < len(data):
        message, at = _message(data, at)
        if message.magic != outer.magic or message.attributes & CODEC_BITS:
            raise ValueError("a compressed message holds one of another format, or one that is compressed again")
        yield message


def _message(data: bytes, at: int) -> tuple[Message, int]:
    if len(data) - at < HEAD.size:
        raise ValueError("a message is cut off")
    offset, size, crc, magic, attributes = HEAD.unpack_from(data, at)
    end, begin = at + 12 + size, at + 16
    if magic not in (0, 1) or size < LEAST_BYTES + TIMESTAMP.size * magic or end > len(data):
        raise ValueError(f"a message of format {magic} and {size} bytes at {offset}")
    if crc32(data[begin:end]) != crc:
        raise ValueError("the CRC is wrong")
    at, timestamp_ms = at + HEAD.size, -1
    if magic:
        (timestamp_ms,) = TIMESTAMP.unpack_from(data, at)
        at += TIMESTAMP.size
    key, at = _field(data, at, end)
    value, at = _field(data, at, end)
    if at != end:
        raise ValueError(f"{end - at} bytes lie behind the value")
    return Message(offset, magic, attributes, timestamp_ms, key, value), end


def _field(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    if at + LENGTH.size > end:
        raise ValueError("a message ends before its fields")
    (length,) = LENGTH.unpack_from(data, at)
    at += LENGTH.size
    if length == -1:
        return None, at
    if length < 0 or at + length > end:
        raise ValueError(f"a field of {length} bytes leaves its message")
    return data[at : at + length], at + length


def _lz4_blocks(frame: bytes) -> bytes:
    """A frame whose header checksum is not looked at; its blocks stand each for itself."""
    flags, out = int.from_bytes(frame[4:5], "big"), b""
    at = 7 + (8 if flags & 0x08 else 0)
    while size := int.from_bytes(frame[at : at + 4], "little"):
        plain, size = size >> 31, size & 0x7FFFFFFF
        block = frame[at + 4 : at + 4 + size]
        if len(block) < size:
            raise ValueError("an LZ4 block is cut off")
        try:
            out += block if plain else decompress(block, uncompressed_size=_LZ4_BLOCK_BYTES)
        except LZ4BlockError as error:
            raise ValueError(f"an LZ4 block is damaged: {error}") from error
        if len(out) > UNPACKED_LIMIT_BYTES:
            raise ValueError(f"the LZ4 blocks unpack to more than {UNPACKED_LIMIT_BYTES} bytes")
        at += 4 + size + (4 if flags & 0x10 else 0)
    return out
