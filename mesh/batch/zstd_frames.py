"""The outer structure of zstd data (RFC 8878, section 3.1): frames and their blocks, without decompressing.

Needed because the streaming reader does not tell a complete stream from one that was cut, and because what a frame
asks for (window, content size) should be known before anything is allocated. One step per block of at most 128 KiB.
"""

from __future__ import annotations

from mesh.batch.errors import BatchInflates, BatchUndecodable

_MAGIC = 0xFD2FB528
_SKIPPABLE_MAGIC = 0x184D2A50
_SKIPPABLE_MASK = 0xFFFFFFF0
_FREE_PARTS = 4096
_MIN_AVERAGE_BYTES = 16
"""A block holds up to 128 KiB; streams of nothing but tiny frames and blocks are only work."""
_DICTIONARY_BYTES = (0, 1, 2, 4)
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_RLE, _RESERVED = 1, 3


def check_frames(data: memoryview, max_window_bytes: int, max_content_bytes: int) -> int:
    """Whether `data` is whole frames and nothing else, none of which asks for more than is allowed.

    How many blocks it has, where it is one frame; otherwise 0.

    Raises BatchUndecodable (cut, trailing bytes, a dictionary, not zstd) and BatchInflates (window, stated sizes).
    """
    at, stated, frames, left = 0, 0, 0, _FREE_PARTS + len(data) // _MIN_AVERAGE_BYTES
    free = left
    while at < len(data) or not at:
        magic = _number(data, at, 4)
        frames += 1
        if magic & _SKIPPABLE_MASK == _SKIPPABLE_MAGIC:
            at += 8 + _number(data, at + 4, 4)
            left = _spend(left, at)
            continue
        if magic != _MAGIC:
            raise BatchUndecodable("zstd", f"no frame at byte {at}")
        at, content, has_checksum = _frame_header(data, at + 4, max_window_bytes)
        stated += content
        if stated > max_content_bytes:
            raise BatchInflates("zstd", "space", len(data), max_content_bytes)
        at, left = _blocks_end(data, at, left)
        at += 4 * has_checksum
    if at > len(data):
        raise _cut(len(data))
    return free - left if frames == 1 else 0


def _frame_header(data: memoryview, at: int, max_window_bytes: int) -> tuple[int, int, bool]:
    """Where the blocks begin, the stated content size (0 where none is), and whether a checksum follows."""
    descriptor = _number(data, at, 1)
    single_segment = bool(descriptor & 0x20)
    at += 1
    if not single_segment:
        _check_window(_number(data, at, 1), len(data), max_window_bytes)
        at += 1
    dictionary_bytes = _DICTIONARY_BYTES[descriptor & 3]
    if dictionary_bytes and _number(data, at, dictionary_bytes):
        raise BatchUndecodable("zstd", "it needs a dictionary")
    at += dictionary_bytes
    size_bytes = _CONTENT_SIZE_BYTES[descriptor >> 6] or single_segment
    content = _number(data, at, size_bytes) + (256 if size_bytes == 2 else 0)
    if single_segment and content > max_window_bytes:
        raise BatchInflates("zstd", "window", len(data), max_window_bytes)
    return at + size_bytes, content, bool(descriptor & 4)


def _check_window(descriptor: int, compressed_bytes: int, max_window_bytes: int) -> None:
    base = 1 << (10 + (descriptor >> 3))
    if base + base // 8 * (descriptor & 7) > max_window_bytes:
        raise BatchInflates("zstd", "window", compressed_bytes, max_window_bytes)


def _blocks_end(data: memoryview, at: int, left: int) -> tuple[int, int]:
    """Where the blocks end, and how many more parts may come."""
    while True:
        block = _number(data, at, 3)
        kind, size = block >> 1 & 3, block >> 3
        if kind == _RESERVED:
            raise BatchUndecodable("zstd", f"a block of a reserved kind at byte {at}")
        at += 3 + (1 if kind == _RLE else size)
        left = _spend(left, at)
        if block & 1:
            return at, left


def _spend(left: int, at: int) -> int:
    if not left:
        raise BatchUndecodable("zstd", f"too many frames and blocks in the first {at} bytes")
    return left - 1


def _number(data: memoryview, at: int, size: int) -> int:
    if at + size > len(data):
        raise _cut(len(data))
    return int.from_bytes(data[at : at + size], "little")


def _cut(size: int) -> BatchUndecodable:
    return BatchUndecodable("zstd", f"the stream ends early, after {size} bytes")
