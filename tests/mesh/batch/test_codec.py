from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import cramjam
import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.batch.codec import compress, decompress, store
from mesh.batch.errors import BatchForbidden, BatchInflates, BatchUndecodable
from mesh.batch.header import Codec
from mesh.batch.limits import DEFAULT_LIMITS, MIB, Limits

COMPRESSING = [codec for codec in Codec if codec]
TEXT = b"".join(b"%d the same line again and again" % (number * 7919 % 99991) for number in range(36000))
LIMIT = Limits(max_uncompressed_bytes=4 * MIB, max_ratio=1 << 30)
BOMB_BYTES = 256 * MIB


def lz4_frame(data: bytes, **options: object) -> bytes:
    frame: bytes = lz4.frame.compress(data, **({"block_linked": False} | options))
    return frame


def zstd_stream(data: bytes, **options: int) -> bytes:
    """Without a content size, as the Java client writes it."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, **options)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(data) + stream.flush()


def snappy_bomb() -> bytes:
    """Copies of 64 bytes from one literal, under an honest length."""
    copies = BOMB_BYTES // 64
    size, length = BOMB_BYTES + 64, bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([*length, size]) + b"\xf0\x3f" + bytes(64) + b"\xfe\x40\x00" * copies


BOMBS: dict[str, tuple[Codec, Callable[[], bytes]]] = {
    "gzip": (Codec.GZIP, lambda: gzip.compress(bytes(BOMB_BYTES))),
    "snappy": (Codec.SNAPPY, snappy_bomb),
    "snappy blocks": (
        Codec.SNAPPY,
        lambda: (
            compress(Codec.SNAPPY, b"")
            + b"".join(len(one).to_bytes(4, "big") + one for one in [bytes(cramjam.snappy.compress_raw(bytes(MIB)))])
            * 256
        ),
    ),
    "lz4": (Codec.LZ4, lambda: lz4_frame(bytes(BOMB_BYTES), store_size=False)),
    "lz4 of large blocks": (Codec.LZ4, lambda: lz4_frame(bytes(BOMB_BYTES), block_size=7)),
    "zstd with its size": (Codec.ZSTD, lambda: zstandard.compress(bytes(BOMB_BYTES))),
    "zstd without its size": (Codec.ZSTD, lambda: zstd_stream(bytes(BOMB_BYTES))),
    "zstd frames": (Codec.ZSTD, lambda: zstd_stream(bytes(MIB)) * 256),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_more_memory_than_the_limit(name: str) -> None:
    codec, make = BOMBS[name]
    bomb = make()
    tracemalloc.start()
    try:
        with pytest.raises(BatchInflates, match=f"{codec} need more space than the {4 * MIB} bytes"):
            decompress(codec, bomb, LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB + 4 * MIB


@pytest.mark.parametrize("codec", COMPRESSING)
def test_a_ratio_is_refused_below_the_limit_of_bytes(codec: Codec) -> None:
    small = Limits(max_ratio=3, free_inflation_bytes=1000)
    data = compress(codec, TEXT)
    with pytest.raises(BatchInflates) as caught:
        decompress(codec, data, small)
    assert caught.value.data["limit_bytes"] == 3 * len(data)
    assert decompress(codec, compress(codec, TEXT[:1000]), small) == TEXT[:1000]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("size", [0, 1, 32768, 32769, 256 * 1024, len(TEXT)])
def test_the_limit_itself_may_be_reached(codec: Codec, size: int) -> None:
    exact = Limits(max_uncompressed_bytes=size)
    assert decompress(codec, compress(codec, TEXT[:size]), exact) == TEXT[:size]


@pytest.mark.parametrize("codec", list(Codec))
def test_one_byte_above_the_limit_is_refused(codec: Codec) -> None:
    with pytest.raises(BatchInflates):
        decompress(codec, compress(codec, TEXT), Limits(max_uncompressed_bytes=len(TEXT) - 1))


@given(
    codec=st.sampled_from(list(Codec)), data=st.binary(max_size=2000) | st.binary(max_size=50).map(lambda b: b * 5000)
)
def test_round_trip(codec: Codec, data: bytes) -> None:
    assert decompress(codec, memoryview(compress(codec, data)), DEFAULT_LIMITS) == data


@pytest.mark.parametrize("codec", COMPRESSING)
def test_every_cut_is_refused(codec: Codec) -> None:
    data = compress(codec, TEXT[:300])
    whole_blocks = {16} if codec is Codec.SNAPPY else set()  # the framing alone: no block, a legal nothing
    for size in set(range(len(data))) - whole_blocks:
        with pytest.raises((BatchUndecodable, BatchInflates)):
            decompress(codec, data[:size], DEFAULT_LIMITS)


@pytest.mark.parametrize("codec", COMPRESSING)
@pytest.mark.parametrize("tail", [b"\0", b"garbage", b"\0" * 30])
def test_bytes_after_the_stream_are_refused(codec: Codec, tail: bytes) -> None:
    if codec is Codec.SNAPPY and tail == b"\0" * 30:
        tail = b"\0\0\0\2\0"  # a block of zero bytes claimed and cut
    with pytest.raises(BatchUndecodable):
        decompress(codec, compress(codec, TEXT[:300]) + tail, DEFAULT_LIMITS)


def test_several_zstd_frames_are_one_stream() -> None:
    frames = (
        zstandard.compress(b"one") + zstd_stream(b"two") + b"\x51\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(b"")
    )
    assert decompress(Codec.ZSTD, frames + zstandard.compress(TEXT), DEFAULT_LIMITS) == b"onetwo" + TEXT


def test_what_other_clients_write_is_read() -> None:
    raw = bytes(cramjam.snappy.compress_raw(TEXT))
    assert decompress(Codec.SNAPPY, raw, DEFAULT_LIMITS) == TEXT
    assert decompress(Codec.ZSTD, zstd_stream(TEXT, write_checksum=1), DEFAULT_LIMITS) == TEXT
    for options in ({"store_size": True}, {"content_checksum": True}, {"block_size": 7}, {"block_checksum": True}):
        assert decompress(Codec.LZ4, lz4_frame(TEXT, **options), DEFAULT_LIMITS) == TEXT


def test_what_the_java_client_cannot_read_is_refused() -> None:
    with pytest.raises(BatchUndecodable, match="linked blocks"):
        decompress(Codec.LZ4, lz4_frame(TEXT, block_linked=True), DEFAULT_LIMITS)
    with pytest.raises(BatchUndecodable, match="follow the frame"):
        decompress(Codec.LZ4, lz4_frame(b"one") + lz4_frame(b"two"), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "second", [gzip.compress(b"two"), gzip.compress(b""), b"\0"], ids=["a member", "an empty one", "a byte"]
)
def test_a_second_gzip_member_is_refused_for_which_librdkafka_waits_for_ever(second: bytes) -> None:
    with pytest.raises(BatchUndecodable, match=f"{len(second)} bytes follow the stream"):
        decompress(Codec.GZIP, gzip.compress(b"one") + second, DEFAULT_LIMITS)


def test_a_large_window_is_refused_before_anything_is_read() -> None:
    wide = zstd_stream(b"x", window_log=24)
    with pytest.raises(BatchInflates, match="more window than the 8388608"):
        decompress(Codec.ZSTD, wide, DEFAULT_LIMITS)
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    single = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(9 * MIB))
    with pytest.raises(BatchInflates, match="more window"):
        decompress(Codec.ZSTD, single, Limits(max_ratio=1 << 20))


def test_a_snappy_length_that_cannot_be_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(BatchUndecodable, match="3 bytes claim to hold 2000000"):
        decompress(Codec.SNAPPY, b"\x80\x89\x7a", Limits(max_ratio=1 << 30))


MANY_PARTS = {
    "snappy blocks": (Codec.SNAPPY, compress(Codec.SNAPPY, b"") + b"\0\0\0\1\0" * 3000),
    "zstd frames": (Codec.ZSTD, zstandard.compress(b"") * 30000),
    "zstd skippable frames": (Codec.ZSTD, b"\x51\x2a\x4d\x18\0\0\0\0" * 9000),
    "zstd blocks": (Codec.ZSTD, b"\x28\xb5\x2f\xfd\0\0" + b"\0\0\0" * 9000 + b"\1\0\0"),
}


@pytest.mark.parametrize("name", MANY_PARTS)
def test_a_stream_of_many_empty_parts_is_refused(name: str) -> None:
    codec, data = MANY_PARTS[name]
    with pytest.raises(BatchUndecodable, match=r"more than|blocks in the first"):
        decompress(codec, data, DEFAULT_LIMITS)


def test_a_dictionary_is_refused() -> None:
    dictionary = zstandard.ZstdCompressionDict(bytes(range(256)) * 8, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    frame = bytearray(zstandard.compress(b"x" * 100))
    assert dictionary
    frame[4] |= 1
    frame.insert(5, 9)
    with pytest.raises(BatchUndecodable, match="dictionary"):
        decompress(Codec.ZSTD, bytes(frame), DEFAULT_LIMITS)


def test_a_codec_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BatchForbidden, match="codec 5"):
        decompress(5, b"", DEFAULT_LIMITS)


@given(st.sampled_from(list(Codec)), st.binary(max_size=100))
def test_any_bytes_give_a_value_or_a_documented_error(codec: Codec, data: bytes) -> None:
    prefix = {
        Codec.LZ4: compress(Codec.LZ4, b"")[:7],
        Codec.ZSTD: b"\x28\xb5\x2f\xfd",
        Codec.GZIP: zlib.compress(b"", wbits=31)[:10],
    }
    for given_bytes in (data, prefix.get(codec, compress(Codec.SNAPPY, b"")) + data):
        try:
            found = decompress(codec, given_bytes, LIMIT)
        except (BatchUndecodable, BatchInflates):
            continue
        assert len(found) <= LIMIT.max_uncompressed_bytes


@given(st.sampled_from(COMPRESSING), st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_gives_a_value_or_a_documented_error(codec: Codec, place: int, change: int) -> None:
    data = bytearray(compress(codec, TEXT[:700] + bytes(range(256))))
    data[place % len(data)] ^= change
    try:
        decompress(codec, data, LIMIT)
    except (BatchUndecodable, BatchInflates):
        return


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 200_000])
def test_what_is_stored_is_read_by_the_library_too(codec: Codec, size: int) -> None:
    stored = store(codec, TEXT[:size])
    assert decompress(codec, stored, DEFAULT_LIMITS) == TEXT[:size]
    if codec is Codec.LZ4:
        assert lz4.frame.decompress(stored) == TEXT[:size]
        assert len(stored) <= size + 32


PLAIN = {"no options": {}, "larger blocks": {"block_size": 5}}


@settings(max_examples=60)
@given(
    data=st.binary(max_size=300) | st.binary(min_size=1, max_size=40).map(lambda b: b * 4000),
    options=st.sampled_from(list(PLAIN)),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=2),
)
def test_what_is_read_in_one_go_is_what_the_library_reads(
    data: bytes, options: str, flips: list[tuple[int, int]]
) -> None:
    """Two readers of one format must not differ in what a damaged frame says."""
    frame = bytearray(lz4_frame(data, store_size=False, **PLAIN[options]))
    for at, change in flips:
        frame[at % len(frame)] ^= change
    try:
        found = decompress(Codec.LZ4, bytes(frame), DEFAULT_LIMITS)
    except (BatchUndecodable, BatchInflates):
        return
    assert found == lz4.frame.decompress(bytes(frame))


@pytest.mark.parametrize("sizes", [[64 * 1024 + 1], [1] * 40, [0, 5]])
def test_blocks_of_an_odd_size_are_judged_by_the_library(sizes: list[int]) -> None:
    blocks = b"".join((size | 1 << 31).to_bytes(4, "little") + bytes(size) for size in sizes)
    frame = b"\x04\x22\x4d\x18\x60\x40\x82" + blocks + bytes(4)
    try:
        expected = lz4.frame.decompress(frame)
    except RuntimeError:
        expected = None
    try:
        found = decompress(Codec.LZ4, frame, DEFAULT_LIMITS)
    except BatchUndecodable:
        found = None
    assert found == expected
