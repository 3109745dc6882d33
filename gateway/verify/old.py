"""Reads a message of format 0 or 1 into records, from the formats' description alone, as the decoder does for batches.

A message is one record, or, where its codec is not 0, a set of messages packed into its value. In a packed set of
format 1 offsets count from the set's first record, and the message outside has the offset of the last one; in format 0
each states its own. A set stamped at append has one time for all. Any input gives records or ValueError.

    offset size field          offset size field
     0     8   offset          16     1   format, 0 or 1
     8     4   length of 12…   17     1   attributes: bits 0 to 2 codec, 3 append time
    12     4   CRC-32 of 16…   18     8   timestamp, format 1 only; then key and value, each behind its length, -1 null
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import lz4.block

from gateway.verify.codecs import decompress

OldRecord: TypeAlias = tuple[int, int, bytes | None, bytes | None, tuple[()]]
"""(offset, timestamp_ms, key, value, no headers)."""

LEAST_BYTES = 12 + 14
"""Of a message of format 0 with neither key nor value."""
_LZ4, _APPEND_TIME, _NO_TIMESTAMP = 3, 0x08, -1
_LZ4_HAS_SIZE, _LZ4_HAS_BLOCK_SUMS, _LZ4_IS_PLAIN = 0x08, 0x10, 0x80000000


class _Message(NamedTuple):
    offset: int
    magic: int
    attributes: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None

    @property
    def codec(self) -> int:
        return self.attributes & 0x07


def read_old(data: memoryview, limit: int) -> Iterator[OldRecord]:
    """The records of the one message that `data` is; a set may unpack to `limit` bytes."""
    outer = _message(data)
    if not outer.codec:
        yield _record(outer, outer.offset, outer.timestamp_ms)
        return
    data = _opened(outer, limit)
    shift = outer.offset - _last_offset(data) if outer.magic else 0
    for message in _unpacked(outer, data):
        stamped = outer.magic and outer.attributes & _APPEND_TIME
        yield _record(message, message.offset + shift, outer.timestamp_ms if stamped else message.timestamp_ms)


def _record(message: _Message, offset: int, timestamp_ms: int) -> OldRecord:
    return offset, timestamp_ms, message.key, message.value, ()


def _opened(outer: _Message, limit: int) -> memoryview:
    value = memoryview(outer.value or b"")
    # the lz4 frames of format 0 have a header checksum that no lz4 library accepts
    by_hand = outer.codec == _LZ4 and outer.magic == 0
    data = _lz4_blocks(value, limit) if by_hand else memoryview(decompress(outer.codec, value, limit))
    if not data:
        raise ValueError("a packed set is empty")
    return data


def _last_offset(data: memoryview) -> int:
    """The offset of the last message, before any is read: all may not be kept."""
    position, offset = 0, 0
    while len(data) - position >= LEAST_BYTES:
        offset, size = struct.unpack_from(">qi", data, position)
        if size < LEAST_BYTES - 12:
            break
        position += 12 + size
    return offset


def _unpacked(outer: _Message, data: memoryview) -> Iterator[_Message]:
    position = 0
    while position < len(data):
        if len(data) - position < LEAST_BYTES:
            raise ValueError("a packed set ends within a message")
        end = position + 12 + int.from_bytes(data[position + 8 : position + 12], "big", signed=True)
        if not position + LEAST_BYTES <= end <= len(data):
            raise ValueError("a packed message has a wrong length")
        message = _message(data[position:end])
        if message.codec or message.magic != outer.magic:
            raise ValueError("a packed set holds a packed message, or one of another format")
        yield message
        position = end


def _message(data: memoryview) -> _Message:
    try:
        offset, _, crc, magic, attributes = struct.unpack_from(">qiIBB", data)
        if zlib.crc32(data[16:]) != crc:
            raise ValueError("its checksum is wrong")
        timestamp_ms, position = (struct.unpack_from(">q", data, 18)[0], 26) if magic else (_NO_TIMESTAMP, 18)
        key, position = _bytes(data, position)
        value, position = _bytes(data, position)
    except struct.error as error:
        raise ValueError("a message is too short") from error
    if position != len(data):
        raise ValueError("a message's length is wrong")
    return _Message(offset, magic, attributes, timestamp_ms, key, value)


def _bytes(data: memoryview, position: int) -> tuple[bytes | None, int]:
    length: int = struct.unpack_from(">i", data, position)[0]
    position += 4
    if length < 0:
        return None, position
    if position + length > len(data):
        raise ValueError("a field ends outside its message")
    return bytes(data[position : position + length]), position + length


def _lz4_blocks(frame: memoryview, limit: int) -> memoryview:
    """The content of a frame of independent blocks, whatever its header checksum says."""
    if len(frame) < 7 or bytes(frame[:4]) != b"\x04\x22\x4d\x18":
        raise ValueError("its lz4 frame has no beginning")
    flags, block_bytes = frame[4], 1 << 2 * (frame[5] >> 4 & 7) + 8
    position = 7 + (8 if flags & _LZ4_HAS_SIZE else 0)
    opened = bytearray()
    while (size := int.from_bytes(frame[position : position + 4], "little")) != 0:
        start, stored = position + 4, size & (_LZ4_IS_PLAIN - 1)
        block = bytes(frame[start : start + stored])
        if len(block) < stored:
            raise ValueError("its lz4 data end early")
        try:
            opened += block if size & _LZ4_IS_PLAIN else lz4.block.decompress(block, uncompressed_size=block_bytes)
        except lz4.block.LZ4BlockError as error:
            raise ValueError(f"its lz4 data cannot be decompressed ({error})") from error
        if len(opened) > limit:
            raise ValueError(f"its data unpack to more than {limit} bytes")
        position = start + stored + (4 if flags & _LZ4_HAS_BLOCK_SUMS else 0)
    if len(frame) < position + 4:
        raise ValueError("its lz4 data end early")
    return memoryview(opened)
