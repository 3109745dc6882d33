"""Opens the compressed part of a record batch, never beyond a bound.

Each codec is driven with an output limit, so a small input that unpacks to gigabytes costs at most the limit. Any
input gives bytes or ValueError.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cramjam
import lz4.frame
import zstandard

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_ZSTD_WINDOW_BYTES = 1 << 27
"""The largest window that Kafka's own reader accepts; only what is written to it becomes resident."""


def decompress(codec: int, data: memoryview, limit: int) -> memoryview:
    """`data` unpacked by Kafka's codec number (0 none … 4 zstd). Raises ValueError, also above `limit` bytes."""
    opener = _OPENERS.get(codec)
    if opener is None:
        raise ValueError(f"codec {codec} is unknown")
    try:
        opened = memoryview(opener(data, limit))
    except (zlib.error, RuntimeError, EOFError, zstandard.ZstdError, cramjam.DecompressionError) as error:
        raise ValueError(f"its data cannot be decompressed ({error})") from error
    if len(opened) > limit:
        raise ValueError(f"its data unpack to more than {limit} bytes")
    return opened


def _plain(data: memoryview, limit: int) -> memoryview:
    return data


def _gzip(data: memoryview, limit: int) -> bytes:
    opened = bytearray()
    rest: bytes | memoryview = data
    while len(rest) and len(opened) <= limit:
        member = zlib.decompressobj(wbits=31)
        opened += member.decompress(rest, limit + 1 - len(opened))
        if not member.eof and len(opened) <= limit:
            raise ValueError("its gzip data end early")
        rest = member.unused_data
    return bytes(opened)


def _snappy(data: memoryview, limit: int) -> bytes:
    """Java's framing (blocks behind lengths) where its magic stands, otherwise one raw block."""
    if bytes(data[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
        return _snappy_block(data, limit)
    opened = bytearray()
    position = _XERIAL_HEADER_BYTES
    while position < len(data):
        end = position + 4 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            raise ValueError("its snappy data end early")
        opened += _snappy_block(data[position + 4 : end], limit - len(opened))
        position = end
    return bytes(opened)


def _snappy_block(block: memoryview, limit: int) -> bytes:
    if not len(block):
        raise ValueError("its snappy data end early")
    # The block states its length before its data: ask before allocating.
    if cramjam.snappy.decompress_raw_len(block) > limit:
        raise ValueError("its data unpack to more than the limit")
    return bytes(cramjam.snappy.decompress_raw(block))


def _lz4(data: memoryview, limit: int) -> bytes:
    reader = lz4.frame.LZ4FrameDecompressor()
    opened: bytes = reader.decompress(bytes(data), limit + 1)
    if not reader.eof and len(opened) <= limit:
        raise ValueError("its lz4 data end early")
    return opened


def _zstd(data: memoryview, limit: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(data, read_across_frames=True)
    opened = bytearray()
    while len(opened) <= limit and (piece := reader.read(min(1 << 18, limit + 1 - len(opened)))):
        opened += piece
    return bytes(opened)


_OPENERS: dict[int, Callable[[memoryview, int], bytes | memoryview]] = {
    0: _plain,
    1: _gzip,
    2: _snappy,
    3: _lz4,
    4: _zstd,
}
