"""Compression of a batch's records, and bounded decompression.

Strategy: a reader is asked for a little more than is allowed, in steps, and is stopped there; nothing is allocated
on the word of the input. Where lz4 or zstd is small and of the common form it is read in one go, which takes half the
time; what that way does not take is no verdict, the steps decide. Invariants:
A. At most `limits.inflated(n)` bytes and one step are held, whatever `n` bytes of input claim.
B. The input is used to its last byte: what follows a stream is refused, and a stream that ends early too.
C. What a stock client cannot read is refused: of the Java client linked lz4 blocks and a second lz4 frame, of
   librdkafka, which waits for ever then, a second gzip member.
D. Work is bounded like memory: a stream of many empty parts is refused.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO

import cramjam
import lz4.block
import lz4.frame
import zstandard

from mesh.batch.errors import BatchForbidden, BatchInflates, BatchUndecodable
from mesh.batch.header import Codec
from mesh.batch.limits import Limits
from mesh.batch.stamp import Buffer
from mesh.batch.zstd_frames import check_frames

_STEP_BYTES = 256 * 1024
_SMALL_BYTES = 4 << 20
_GZIP_WBITS = 31
_PIECE_BYTES = 64 * 1024
"""Input is fed in pieces, since zlib and lz4 copy what they leave over at each call."""

# the framing of the snappy-java library: eight bytes of magic, version 1, readable by version 1
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_XERIAL_BLOCK_BYTES = 32 * 1024
_XERIAL_MIN_AVERAGE_BYTES = 64
"""A full block has 1.5 kB at least; many smaller ones are only work."""
_XERIAL_FREE_BLOCKS = 1024
_SNAPPY_MAX_RATIO = 64
"""A snappy element is at least one byte and yields at most 64: no honest length is above this."""

_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_LZ4_INDEPENDENT_BIT = 0x20

_LZ4_STORED_BIT = 1 << 31
_STORED_LZ4 = _LZ4_MAGIC + b"\x60\x40\x82"
_PLAIN_LZ4 = {_STORED_LZ4: 64 * 1024, _LZ4_MAGIC + b"\x60\x50\xfb": 256 * 1024}
"""Frames of independent blocks of up to so many bytes, with no checksums and no content size."""
_PLAIN_LZ4_BYTES = 7
_FEW_BLOCKS = 32
_ZSTD_BLOCK_BYTES = 128 * 1024
"""The most that a block of zstd can hold."""
_ZSTD_LEVEL = 1
"""Twice as fast as 3, the library's own choice, and a few in a hundred bytes more."""

_own = threading.local()


def decompress(codec: int, payload: Buffer, limits: Limits) -> bytes:
    """The records of a batch. Raises BatchInflates, BatchUndecodable, BatchForbidden (no such codec)."""
    if codec not in _READERS:
        raise BatchForbidden(-1, f"codec {codec} is unknown")
    cap = limits.inflated(len(payload)) if codec else limits.max_uncompressed_bytes
    return _READERS[codec](memoryview(payload), cap, limits)


def compress(codec: int, records: bytes) -> bytes:
    """`records` as the Java client reads them."""
    return _WRITERS[codec](records)


def store(codec: int, records: bytes) -> bytes:
    """As `compress`, for records of which it is known that they hardly become smaller."""
    if codec != Codec.LZ4:
        return compress(codec, records)
    parts: list[Buffer] = [_STORED_LZ4]
    view = memoryview(records)
    for at in range(0, len(view), _PLAIN_LZ4[_STORED_LZ4]):
        block = view[at : at + _PLAIN_LZ4[_STORED_LZ4]]
        parts += ((len(block) | _LZ4_STORED_BIT).to_bytes(4, "little"), block)
    return b"".join((*parts, bytes(4)))


class _Sink:
    """Takes output until there is more than `cap` of it."""

    def __init__(self, codec: Codec, compressed_bytes: int, cap: int) -> None:
        self._codec, self._compressed_bytes, self._cap = codec, compressed_bytes, cap
        self._out = BytesIO()
        self._size = 0

    @property
    def step(self) -> int:
        """How much to ask for next: never more than one byte above the cap."""
        return min(_STEP_BYTES, self._cap - self._size + 1)

    def reserve(self, size: int) -> None:
        """Raise BatchInflates if `size` bytes more are too many."""
        if self._size + size > self._cap:
            raise BatchInflates(str(self._codec), "space", self._compressed_bytes, self._cap)

    def add(self, chunk: Buffer) -> None:
        self.reserve(len(chunk))
        if self._size <= _SMALL_BYTES < self._size + len(chunk):
            self._room()
        self._size += len(chunk)
        self._out.write(chunk)

    def _room(self) -> None:
        """Take the room for all that may come: growing step by step, a large buffer is there twice while it moves."""
        self._out.seek(self._cap - 1)
        self._out.write(b"\0")
        self._out.seek(self._size)

    def value(self) -> bytes:
        self._out.truncate(self._size)
        return self._out.getvalue()


def _read_none(data: memoryview, cap: int, limits: Limits) -> bytes:
    if len(data) > cap:
        raise BatchInflates("none", "space", len(data), cap)
    return bytes(data)


def _read_gzip(data: memoryview, cap: int, limits: Limits) -> bytes:
    sink = _Sink(Codec.GZIP, len(data), cap)
    if rest := _read_gzip_member(data, sink):
        raise BatchUndecodable("gzip", f"{len(rest)} bytes follow the stream, which librdkafka does not read")
    return sink.value()


def _read_gzip_member(data: Buffer, sink: _Sink) -> Buffer:
    """What follows the member."""
    member = zlib.decompressobj(_GZIP_WBITS)
    at = 0
    try:
        while not member.eof:
            piece: Buffer = data[at : at + _PIECE_BYTES]
            if not piece:
                raise BatchUndecodable("gzip", f"the stream ends early, after {at} bytes")
            at += len(piece)
            while piece and not member.eof:
                sink.add(member.decompress(piece, sink.step))
                piece = member.unconsumed_tail
    except zlib.error as error:
        raise BatchUndecodable("gzip", str(error)) from error
    return data[at - len(member.unused_data) :]


def _read_snappy(data: memoryview, cap: int, limits: Limits) -> bytes:
    sink = _Sink(Codec.SNAPPY, len(data), cap)
    framed = len(data) >= len(_XERIAL_HEADER) and data[: len(_XERIAL_MAGIC)] == _XERIAL_MAGIC
    for block in _xerial_blocks(data) if framed else (data,):
        _read_snappy_block(block, sink)
    return sink.value()


def _xerial_blocks(data: memoryview) -> Iterator[memoryview]:
    if data[: len(_XERIAL_HEADER)] != _XERIAL_HEADER:
        raise BatchUndecodable("snappy", "an unknown version of the xerial framing")
    at, blocks = len(_XERIAL_HEADER), 0
    while at < len(data):
        blocks += 1
        if blocks > _XERIAL_FREE_BLOCKS + len(data) // _XERIAL_MIN_AVERAGE_BYTES:
            raise BatchUndecodable("snappy", f"{blocks} blocks in the first {at} bytes")
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + 4 + size
        if end > len(data) or at + 4 > len(data):
            raise BatchUndecodable("snappy", f"a block of {size} bytes at byte {at} passes the end")
        yield data[at + 4 : end]
        at = end


def _read_snappy_block(block: memoryview, sink: _Sink) -> None:
    try:
        size = cramjam.snappy.decompress_raw_len(block)
        if size > len(block) * _SNAPPY_MAX_RATIO:
            raise BatchUndecodable("snappy", f"{len(block)} bytes claim to hold {size}")
        sink.reserve(size)
        out = bytearray(size)
        written = cramjam.snappy.decompress_raw_into(block, out)
    except cramjam.DecompressionError as error:
        raise BatchUndecodable("snappy", str(error)) from error
    if written != size:
        raise BatchUndecodable("snappy", f"a block holds {written} bytes and claims {size}")
    sink.add(out)


def _read_lz4(data: memoryview, cap: int, limits: Limits) -> bytes:
    records = _few_lz4_blocks(data, min(cap, _SMALL_BYTES))
    return _read_lz4_in_steps(data, cap) if records is None else records


def _few_lz4_blocks(data: memoryview, cap: int) -> bytes | None:
    """The records where they are a few blocks without checksums, as clients write them; None: no verdict."""
    max_bytes = _PLAIN_LZ4.get(bytes(data[:_PLAIN_LZ4_BYTES]))
    if max_bytes is None:
        return None
    blocks: list[Buffer] = []
    at, left = _PLAIN_LZ4_BYTES, cap
    for _ in range(_FEW_BLOCKS):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if not size:
            return b"".join(blocks) if at == len(data) else None
        start, is_stored = at, size & _LZ4_STORED_BIT
        at += size & ~_LZ4_STORED_BIT
        block: Buffer = data[start:at]
        if at - start > max_bytes or at > len(data):
            return None
        if not is_stored:
            try:
                block = lz4.block.decompress(block, uncompressed_size=max_bytes)
            except lz4.block.LZ4BlockError:
                return None
        left -= len(block)
        if left < 0:
            return None
        blocks.append(block)
    return None


def _read_lz4_in_steps(data: memoryview, cap: int) -> bytes:
    if len(data) < 7 or data[:4] != _LZ4_MAGIC:
        raise BatchUndecodable("lz4", "no lz4 frame")
    if not data[4] & _LZ4_INDEPENDENT_BIT:
        raise BatchUndecodable("lz4", "linked blocks, which the Java client does not read")
    sink = _Sink(Codec.LZ4, len(data), cap)
    frame = lz4.frame.LZ4FrameDecompressor()
    at = 0
    try:
        while not frame.eof:
            piece: Buffer = b""
            if frame.needs_input:
                piece = data[at : at + _PIECE_BYTES]
                at += len(piece)
                if not piece:
                    raise BatchUndecodable("lz4", f"the frame ends early, after {at} bytes")
            sink.add(frame.decompress(piece, sink.step))
    except (RuntimeError, EOFError) as error:
        raise BatchUndecodable("lz4", str(error)) from error
    after = len(frame.unused_data or b"") + len(data) - at
    if after:
        raise BatchUndecodable("lz4", f"{after} bytes follow the frame")
    return sink.value()


def _read_zstd(data: memoryview, cap: int, limits: Limits) -> bytes:
    # the library ends silently at a cut stream, so the frames are walked first
    blocks = check_frames(data, limits.max_window_bytes, cap)
    reader = _zstd_decompressor(limits.max_window_bytes)
    most_bytes = min(cap, blocks * _ZSTD_BLOCK_BYTES)
    try:
        if 0 < blocks <= _FEW_BLOCKS and zstandard.frame_content_size(data) <= most_bytes:
            with suppress(zstandard.ZstdError):
                return reader.decompress(data, max_output_size=most_bytes)
        sink = _Sink(Codec.ZSTD, len(data), cap)
        with reader.stream_reader(data, read_across_frames=True) as stream:
            while chunk := stream.read(sink.step):
                sink.add(chunk)
    except zstandard.ZstdError as error:
        raise BatchUndecodable("zstd", str(error)) from error
    return sink.value()


def _zstd_decompressor(max_window_bytes: int) -> zstandard.ZstdDecompressor:
    """One for each thread and window: making one costs 20 us, and two threads may not share one."""
    kept: dict[int, zstandard.ZstdDecompressor] = _own.__dict__.setdefault("zstd", {})
    if max_window_bytes not in kept:
        kept[max_window_bytes] = zstandard.ZstdDecompressor(max_window_size=max_window_bytes)
    return kept[max_window_bytes]


def _write_gzip(records: bytes) -> bytes:
    member = zlib.compressobj(wbits=_GZIP_WBITS)
    return member.compress(records) + member.flush()


def _write_snappy(records: bytes) -> bytes:
    parts = [_XERIAL_HEADER]
    for at in range(0, len(records), _XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(records[at : at + _XERIAL_BLOCK_BYTES]))
        parts += (len(block).to_bytes(4, "big"), block)
    return b"".join(parts)


def _write_lz4(records: bytes) -> bytes:
    # the Java client does not read linked blocks, and states no size itself; at 8 times the default haste what does not
    # become smaller takes a third of the time, what does is 5 in 100 bytes larger
    frame: bytes = lz4.frame.compress(records, compression_level=-8, block_linked=False, store_size=False)
    return frame


def _write_zstd(records: bytes) -> bytes:
    kept = _own.__dict__
    if "zstd writer" not in kept:
        kept["zstd writer"] = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    packed: bytes = kept["zstd writer"].compress(records)
    return packed


_READERS: dict[int, Callable[[memoryview, int, Limits], bytes]] = {
    Codec.NONE: _read_none,
    Codec.GZIP: _read_gzip,
    Codec.SNAPPY: _read_snappy,
    Codec.LZ4: _read_lz4,
    Codec.ZSTD: _read_zstd,
}
_WRITERS: dict[int, Callable[[bytes], bytes]] = {
    Codec.NONE: bytes,
    Codec.GZIP: _write_gzip,
    Codec.SNAPPY: _write_snappy,
    Codec.LZ4: _write_lz4,
    Codec.ZSTD: _write_zstd,
}
