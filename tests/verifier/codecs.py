"""Unpacks the records of a batch by Kafka's codec number; any input gives bytes or ValueError.

A damaged log must not take the judge down, so nothing unpacks beyond a bound: gzip, lz4 and zstd are read in pieces,
and snappy is asked for its length first. zstd is read as a stream, because its one-shot call believes the size that a
frame states of itself.
"""

from __future__ import annotations

import io
import zlib

import cramjam
import lz4.frame
import zstandard

NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
UNPACKED_LIMIT_BYTES = 256 << 20
_PIECE_BYTES = 1 << 20
_ZSTD_WINDOW_BYTES = 1 << 27
_JAVA_SNAPPY = bytes.fromhex("82534e4150505900")
_JAVA_SNAPPY_HEADER_BYTES = 16


def unpack(codec: int, packed: bytes, limit: int = UNPACKED_LIMIT_BYTES) -> bytes:
    """Raises ValueError: unknown codec, damaged data, or more than `limit` bytes."""
    if codec == 0:
        return packed
    if codec >= len(NAMES):
        raise ValueError(f"no codec has the number {codec}")
    try:
        opened = (_gzip, _snappy, _lz4, _zstd)[codec - 1](packed, limit)
    except (zlib.error, EOFError, OSError, RuntimeError, zstandard.ZstdError, cramjam.DecompressionError) as error:
        raise ValueError(f"the {NAMES[codec]} data are damaged: {error}") from error
    if len(opened) > limit:
        raise ValueError(f"the {NAMES[codec]} data unpack to more than {limit} bytes")
    return opened


def _gzip(packed: bytes, limit: int) -> bytes:
    out = b""
    while packed and len(out) <= limit:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        out += member.decompress(packed, limit + 1 - len(out))
        if not member.eof and len(out) <= limit:
            raise EOFError("a gzip member is cut")
        packed = member.unused_data
    return out


def _snappy(packed: bytes, limit: int) -> bytes:
    if not packed.startswith(_JAVA_SNAPPY):
        return _snappy_block(packed, limit)
    blocks, at, size = [], _JAVA_SNAPPY_HEADER_BYTES, 0
    while at < len(packed):
        length = int.from_bytes(packed[at : at + 4], "big")
        block = packed[at + 4 : at + 4 + length]
        if len(block) < length or not length:
            raise EOFError("a snappy block is cut")
        blocks.append(_snappy_block(block, limit - size))
        size += len(blocks[-1])
        at += 4 + length
    return b"".join(blocks)


def _snappy_block(block: bytes, limit: int) -> bytes:
    if not block:
        raise EOFError("a snappy block is empty")
    if cramjam.snappy.decompress_raw_len(block) > limit:
        raise EOFError(f"a snappy block unpacks to more than {limit} bytes")
    return bytes(cramjam.snappy.decompress_raw(block))


def _lz4(packed: bytes, limit: int) -> bytes:
    frame = lz4.frame.LZ4FrameDecompressor()
    pieces: list[bytes] = []
    size = 0
    while not frame.eof and size <= limit:
        if pieces and frame.needs_input:
            raise EOFError("an lz4 frame is cut")
        # The bound is allocated at once: hence in pieces, and not the whole limit.
        pieces.append(frame.decompress(b"" if pieces else packed, min(_PIECE_BYTES, limit + 1 - size)))
        size += len(pieces[-1])
    return b"".join(pieces)


def _zstd(packed: bytes, limit: int) -> bytes:
    pieces, size = [], 0
    opener = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with opener.stream_reader(io.BytesIO(packed), read_across_frames=True) as reader:
        while size <= limit and (piece := reader.read(min(_PIECE_BYTES, limit + 1 - size))):
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)
