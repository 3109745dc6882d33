"""Messages of the formats 0 and 1, as old segments still hold them, made into batches of format 2.

    at  field          type   under CRC            A message stands alone, or its value is a compressed set of messages
     0  offset         i64    no                   (a wrapper, without a key). A wrapper has the offset of its last
     8  size           i32    no                   message; in format 1 those inside count from 0, in format 0 they
    12  CRC-32         u32    -                    state their own. Sets end in a cut message, which is left out.
    16  magic          i8     yes   0 or 1
    17  attributes     i8     yes   bits 0-2 codec (0 none, 1 gzip, 2 snappy, 3 lz4), bit 3 append time (format 1)
    18  timestamp      i64    yes   format 1 only
    ..  key size, key, value size, value (i32, -1 is null)

A. Offsets, keys, values and timestamps stay; holes stay holes. Format 0 has no timestamps: -1. A wrapper of append time
   gives its own to the messages in it, as readers see them.
B. What no reader could read is damage: a CRC, a wrapper in a wrapper, another format inside, offsets that do not rise.
C. Writers of format 0 made the header checksum of lz4 frames over the magic, too; it is made anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from mesh.batch.codec import decompress
from mesh.batch.encode import encode, pieces
from mesh.batch.errors import LogUnreadable, OldFormat
from mesh.batch.header import APPEND_TIME_BIT, CODEC_BITS, LENGTH_END, BatchHeader, Codec, parse_header, split
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.records import Record
from mesh.errors import PeerError

_HEAD = Struct(">qiIbb")
_PLACE = Struct(">qi")
_I64 = Struct(">q")
_I32 = Struct(">i")
_LEAST_BYTES = (14, 22)
"""Size, after the size field, of the smallest message of format 0 and of format 1."""
_CRC_START = 16
_TOGETHER_BYTES = 64 * 1024
"""Messages that stand alone go into batches of about this size."""
_TOGETHER_RECORDS = 2000
_SPAN = 1 << 31
"""Offsets in a batch count from its first in 32 bits."""


class _Message(NamedTuple):
    offset: int
    magic: int
    attributes: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    end: int

    @property
    def codec(self) -> int:
        return self.attributes & CODEC_BITS

    @property
    def is_append_time(self) -> bool:
        return self.magic == 1 and bool(self.attributes & APPEND_TIME_BIT)


def split_any(data: memoryview, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[BatchHeader, memoryview]]:
    """As `header.split`, with messages of the old formats made into batches. Raises LogUnreadable."""
    at = 0
    while True:
        try:
            for header, batch in split(data[at:]):
                yield header, batch
                at += len(batch)
            return
        except OldFormat:
            before = at
        for upgraded, after in _upgraded(data, before, limits):
            yield parse_header(upgraded), memoryview(upgraded)
            at = after
        if at == before:
            return


def _upgraded(data: memoryview, at: int, limits: Limits) -> Iterator[tuple[bytes, int]]:
    """Batches of the wrapper at `at`, or one of the messages that stand alone from there, each with where to go on.

    Nothing where the first is cut. A wrapper's messages are made into objects a piece at a time.
    """
    message = _message(data, at)
    if message is None:
        return
    if message.codec:
        for piece in pieces(_unwrapped(message, limits), _size_of):
            yield _batch(piece, message.codec), message.end
        return
    alone: list[_Message] = []
    first, first_offset = at, message.offset
    while message is not None and not message.codec and message.offset < first_offset + _SPAN:
        alone.append(message)
        at = message.end
        if at - first > _TOGETHER_BYTES or len(alone) >= _TOGETHER_RECORDS:
            break
        message = _message(data, at)
    yield _batch(alone, Codec.NONE), at


def _size_of(message: _Message) -> int:
    return _LEAST_BYTES[1] + len(message.key or b"") + len(message.value or b"")


def _batch(messages: list[_Message], codec: int) -> bytes:
    base, previous = messages[0].offset, messages[0].offset - 1
    for message in messages:
        if not max(previous, -1) < message.offset < base + _SPAN:
            raise LogUnreadable(message.offset, f"a message of an old format comes after offset {previous}")
        previous = message.offset
    records = [Record(message.offset - base, message.timestamp_ms, message.key, message.value) for message in messages]
    return encode(records, codec=codec, base_offset=base, dense=False)


def _message(data: memoryview, at: int) -> _Message | None:
    """The message at `at`, None where it is cut or there is none."""
    if len(data) - at < _HEAD.size:
        return None
    offset, size, crc, magic, attributes = _HEAD.unpack_from(data, at)
    if magic not in (0, 1):
        return None
    if size < _LEAST_BYTES[magic]:
        raise LogUnreadable(offset, f"a message of format {magic} states {size} bytes")
    end = at + LENGTH_END + size
    if end > len(data):
        return None
    if (computed := zlib.crc32(data[at + _CRC_START : end])) != crc:
        raise LogUnreadable(offset, f"a message of format {magic} has CRC {computed:#010x}, it states {crc:#010x}")
    if attributes & CODEC_BITS > Codec.LZ4:
        raise LogUnreadable(offset, f"a message of format {magic} has codec {attributes & CODEC_BITS}")
    body, timestamp_ms = at + _HEAD.size, -1
    try:
        if magic:
            timestamp_ms, body = _I64.unpack_from(data, body)[0], body + 8
        key, body = _sized(data, body, end)
        value, body = _sized(data, body, end)
    except (ValueError, StructError):
        raise LogUnreadable(offset, f"a message of format {magic} does not fit its size") from None
    if body != end:
        raise LogUnreadable(offset, f"{end - body} bytes follow the value of a message of format {magic}")
    return _Message(offset, magic, attributes, timestamp_ms, key, value, end)


def _sized(data: memoryview, at: int, end: int) -> tuple[bytes | None, int]:
    size = _I32.unpack_from(data, at)[0]
    at += 4
    if size == -1:
        return None, at
    if size < 0 or at + size > end:
        raise ValueError
    return bytes(data[at : at + size]), at + size


def _unwrapped(wrapper: _Message, limits: Limits) -> Iterator[_Message]:
    plain = _plain(wrapper, limits)
    shift = wrapper.offset - _last_offset(plain) if wrapper.magic else 0
    previous = -1
    for message in _inner(wrapper, plain):
        if message.codec or message.magic != wrapper.magic:
            raise LogUnreadable(wrapper.offset, "a compressed message holds one of another format, or compressed again")
        stamp = wrapper.timestamp_ms if wrapper.is_append_time else message.timestamp_ms
        found = message._replace(offset=message.offset + shift, timestamp_ms=stamp)
        if found.offset <= previous:
            raise LogUnreadable(found.offset, f"a message of an old format comes after offset {previous}")
        previous = found.offset
        yield found


def _plain(wrapper: _Message, limits: Limits) -> memoryview:
    payload = wrapper.value or b""
    if wrapper.codec == Codec.LZ4 and wrapper.magic == 0:
        payload = _with_lz4_checksum(payload)
    try:
        return memoryview(decompress(wrapper.codec, payload, limits))
    except PeerError as error:  # the reader speaks of a partner's bytes; these are our own log's
        raise LogUnreadable(wrapper.offset, str(error)) from error


def _last_offset(plain: memoryview) -> int:
    """Of the messages in `plain`, by their sizes alone: they are judged when they are read."""
    at, last = 0, 0
    while len(plain) - at >= LENGTH_END:
        last, size = _PLACE.unpack_from(plain, at)
        if size < _LEAST_BYTES[0]:
            break
        at += LENGTH_END + size
    return last


def _inner(wrapper: _Message, plain: memoryview) -> Iterator[_Message]:
    at = 0
    while (message := _message(plain, at)) is not None:
        yield message
        at = message.end
    if not at or at != len(plain):
        raise LogUnreadable(wrapper.offset, "a compressed message does not hold whole messages")


def _with_lz4_checksum(frame: bytes) -> bytes:
    """The frame with the header checksum that the lz4 format asks for: over the descriptor, without the magic."""
    if len(frame) < 7:
        return frame
    at = 6 + (8 if frame[4] & 0x08 else 0) + (4 if frame[4] & 0x01 else 0)
    return frame[:at] + bytes([_xxh32(frame[4:at]) >> 8 & 0xFF]) + frame[at + 1 :]


_P1, _P2, _P3, _P4, _P5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
_U32 = 0xFFFFFFFF


def _xxh32(data: bytes) -> int:
    """XXH32 with seed 0 of fewer than 16 bytes."""
    number, at = _P5 + len(data), 0
    while at + 4 <= len(data):
        number = number + int.from_bytes(data[at : at + 4], "little") * _P3 & _U32
        number, at = _rotated(number, 17) * _P4 & _U32, at + 4
    for byte in data[at:]:
        number = _rotated(number + byte * _P5 & _U32, 11) * _P1 & _U32
    number = (number ^ number >> 15) * _P2 & _U32
    number = (number ^ number >> 13) * _P3 & _U32
    return number ^ number >> 16


def _rotated(number: int, bits: int) -> int:
    return (number << bits | number >> 32 - bits) & _U32
