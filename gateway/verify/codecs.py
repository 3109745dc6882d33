"""Opens the compressed part of a record batch, never beyond a bound.

Each codec is asked for a little output at a time and stopped above the limit, and nothing is allocated on the word of
the input: what unpacks to gigabytes costs the limit and a step. Any input gives bytes or ValueError.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO

import cramjam
import lz4.frame
import zstandard

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_ZSTD_WINDOW_BYTES = 8 << 20
"""What RFC 8878 asks readers to support; the mirror takes no larger one either."""
_STEP_BYTES = 1 << 18
_FEED_BYTES = 1 << 16
"""zlib and lz4 copy what they leave over of their input, so they get it in parts."""
_FREE_BYTES = _SMALL_BYTES = 4 << 20
_RATIO = 1024
"""Up to so many bytes for each that came, and _FREE_BYTES in any case: as the mirror takes them."""
_SNAPPY_RATIO = 64
"""A byte of snappy stands for at most as many: who states more has not got them."""


class _Opened(BytesIO):
    """What is open so far. Raises ValueError above the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._has_room = limit <= _SMALL_BYTES

    @property
    def step(self) -> int:
        return min(_STEP_BYTES, self._limit - self.tell() + 1)

    def expect(self, size: int) -> None:
        if self.tell() + size > self._limit:
            raise ValueError(f"its data unpack to more than {self._limit} bytes")

    def add(self, piece: bytes | bytearray) -> None:
        self.expect(len(piece))
        if not self._has_room and self.tell() + len(piece) > _SMALL_BYTES:
            self._make_room()
        self.write(piece)

    def _make_room(self) -> None:
        """All at once, since a large buffer that grows by moving exists twice meanwhile."""
        self._has_room, position = True, self.tell()
        self.seek(self._limit - 1)
        self.write(b"\0")
        self.seek(position)

    def whole(self) -> bytes:
        self.truncate()
        return self.getvalue()


def decompress(codec: int, data: memoryview, limit: int) -> bytes:
    """`data` unpacked by Kafka's codec number (0 none … 4 zstd). Raises ValueError, also above `limit` bytes."""
    opener = _OPENERS.get(codec)
    if opener is None:
        raise ValueError(f"codec {codec} is unknown")
    opened = _Opened(min(limit, max(_FREE_BYTES, len(data) * _RATIO)) if codec else limit)
    try:
        opener(data, opened)
    except (zlib.error, RuntimeError, EOFError, zstandard.ZstdError, cramjam.DecompressionError) as error:
        raise ValueError(f"its data cannot be decompressed ({error})") from error
    return opened.whole()


def _plain(data: memoryview, opened: _Opened) -> None:
    opened.expect(len(data))
    opened.write(data)


def _gzip(data: memoryview, opened: _Opened) -> None:
    position = 0
    while position < len(data):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            part: bytes | memoryview = data[position : position + _FEED_BYTES]
            if not len(part):
                raise ValueError("its gzip data end early")
            position += len(part)
            while len(part) and not member.eof:
                opened.add(member.decompress(part, opened.step))
                part = member.unconsumed_tail
        position -= len(member.unused_data)


def _snappy(data: memoryview, opened: _Opened) -> None:
    """Java's framing (blocks behind lengths) where its magic stands, otherwise one raw block."""
    if bytes(data[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        _snappy_block(data, opened)
        return
    position = _XERIAL_HEADER_BYTES
    while position < len(data):
        end = position + 4 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            raise ValueError("its snappy data end early")
        _snappy_block(data[position + 4 : end], opened)
        position = end


def _snappy_block(block: memoryview, opened: _Opened) -> None:
    if not len(block):
        raise ValueError("its snappy data end early")
    # the block states its length before its data: ask before allocating
    size = cramjam.snappy.decompress_raw_len(block)
    if size > len(block) * _SNAPPY_RATIO:
        raise ValueError("its snappy data state more than they can hold")
    opened.expect(size)
    out = bytearray(size)
    cramjam.snappy.decompress_raw_into(block, out)
    opened.add(out)


def _lz4(data: memoryview, opened: _Opened) -> None:
    # asked for all at once the library sets the limit aside at the start, whatever there is to open
    reader = lz4.frame.LZ4FrameDecompressor()
    position = 0
    while not reader.eof:
        part: bytes | memoryview = b""
        if reader.needs_input:
            part = data[position : position + _FEED_BYTES]
            position += len(part)
            if not len(part):
                raise ValueError("its lz4 data end early")
        opened.add(reader.decompress(part, opened.step))


def _zstd(data: memoryview, opened: _Opened) -> None:
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(data, read_across_frames=True)
    while piece := reader.read(opened.step):
        opened.add(piece)


_OPENERS: dict[int, Callable[[memoryview, _Opened], None]] = {
    0: _plain,
    1: _gzip,
    2: _snappy,
    3: _lz4,
    4: _zstd,
}
