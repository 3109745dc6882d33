"""Small inputs that unpack to 512 MiB, for every codec of Kafka, in each way that the codec has for it.

They are put together from repeated parts, so nobody has to compress 512 MiB first. What a codec cannot pack that small
(lz4 at best 1 to 255, snappy 1 to 21) is as large as it must be; only zstd makes 512 MiB of 16 kB.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import cache

import cramjam
import lz4.frame

MIB = 1 << 20
BOMB_BYTES = 512 * MIB
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_ZSTD_BLOCK = 128 << 10
_XERIAL = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"


def gzip_member(size: int = BOMB_BYTES) -> bytes:
    """One member with a right checksum."""
    whole = zlib.compressobj(9, wbits=-15)
    zeros = bytes(MIB)
    whole.compress(zeros)
    whole.flush(zlib.Z_FULL_FLUSH)
    part = whole.compress(zeros) + whole.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(size // MIB):
        crc = zlib.crc32(zeros, crc)
    end = zlib.compressobj(9, wbits=-15).flush()
    head = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    return head + part * (size // MIB) + end + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def gzip_members() -> bytes:
    return gzip.compress(bytes(8 * MIB)) * 64


def nested() -> bytes:
    """A bomb in a bomb: what opens first is small."""
    return gzip.compress(zstd_frame())


def _snappy_length(size: int) -> bytes:
    out = bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes([*out, size])


def snappy_copies(size: int = 256 * MIB) -> bytes:
    """Copies of 64 bytes from one literal, under an honest length. 512 MiB would not fit into a batch."""
    return _snappy_length(size + 64) + b"\xf0\x3f" + bytes(64) + b"\xfe\x40\x00" * (size // 64)


def snappy_liar() -> bytes:
    return _snappy_length(BOMB_BYTES) + b"\xf0\x3f" + bytes(64) + b"\xfe\x40\x00" * 5440


def xerial_blocks() -> bytes:
    block = bytes(cramjam.snappy.compress_raw(bytes(MIB)))
    return _XERIAL + (len(block).to_bytes(4, "big") + block) * 256


def xerial_liars() -> bytes:
    """Blocks of some bytes that state 4 GiB each."""
    block = b"\xff\xff\xff\xff\x0f\x00\x00"
    return _XERIAL + (len(block).to_bytes(4, "big") + block) * 1400


def lz4_blocks(head: bytes = b"") -> bytes:
    """Independent blocks of 4 MiB."""
    one: bytes = lz4.frame.compress(bytes(4 * MIB), block_size=7, block_linked=False, store_size=False)
    return (head or one[:7]) + one[7:-4] * 128 + one[-4:]


def lz4_sized() -> bytes:
    """The frame states its size."""
    zeros: bytes = lz4.frame.compress(bytes(BOMB_BYTES // 2), block_size=7, block_linked=False, store_size=True)
    return zeros


def lz4_frames() -> bytes:
    one: bytes = lz4.frame.compress(bytes(8 * MIB), block_size=7, block_linked=False)
    return one * 64


def _rle(size: int) -> bytes:
    """Blocks of 128 KiB in four bytes each: 512 MiB in 16 kB."""
    plain, last = (_ZSTD_BLOCK << 3 | 1 << 1 | each for each in (0, 1))
    return (plain.to_bytes(3, "little") + b"\0") * (size // _ZSTD_BLOCK - 1) + last.to_bytes(3, "little") + b"\0"


def zstd_frame(size: int = BOMB_BYTES, window: int = 0x58) -> bytes:
    """Without a size, with a window of 2 MiB."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window]) + _rle(size)


def zstd_sized() -> bytes:
    """The frame states its size, which some libraries reserve at once, whatever limit they were given."""
    return b"\x28\xb5\x2f\xfd\x80\x58" + BOMB_BYTES.to_bytes(4, "little") + _rle(BOMB_BYTES)


def zstd_single() -> bytes:
    """A single segment: the window is the content."""
    return b"\x28\xb5\x2f\xfd\xa0" + BOMB_BYTES.to_bytes(4, "little") + _rle(BOMB_BYTES)


def zstd_window() -> bytes:
    """A window of 2 GiB."""
    return zstd_frame(window=0xA8)


def zstd_frames() -> bytes:
    return zstd_frame(MIB) * 512


BOMBS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "gzip": (GZIP, gzip_member),
    "gzip members": (GZIP, gzip_members),
    "gzip of a zstd bomb": (GZIP, nested),
    "snappy": (SNAPPY, snappy_copies),
    "snappy that lies": (SNAPPY, snappy_liar),
    "xerial blocks": (SNAPPY, xerial_blocks),
    "xerial blocks that lie": (SNAPPY, xerial_liars),
    "lz4": (LZ4, lz4_blocks),
    "lz4 of a stated size": (LZ4, lz4_sized),
    "lz4 frames": (LZ4, lz4_frames),
    "zstd": (ZSTD, zstd_frame),
    "zstd of a stated size": (ZSTD, zstd_sized),
    "zstd of one segment": (ZSTD, zstd_single),
    "zstd of a large window": (ZSTD, zstd_window),
    "zstd frames": (ZSTD, zstd_frames),
}


@cache
def bomb(name: str) -> bytes:
    return BOMBS[name][1]()
