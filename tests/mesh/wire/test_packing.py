"""Packed batches: what arrives is what left, byte for byte, and nobody makes us unpack more than we allow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.batch.stamp import Buffer
from mesh.link.errors import FrameMalformed
from mesh.link.frames import Data
from mesh.segment import Segment
from mesh.spans import Span
from mesh.wire.codec import decode_frame, encode_frame, frame_chunks
from mesh.wire.packing import packed, unpacked
from mesh.wire.v1 import link_pb2

MOST = 1 << 20
BATCHES = st.lists(st.binary(max_size=300) | st.builds(lambda n: b"a" * n, st.integers(0, 3000)), max_size=6)


def pack(lane: int, fields: Sequence[Buffer]) -> bytes:
    return packed(b"".join(fields))


def data(*batches: bytes) -> Data:
    return Data(((4, Segment(0, 1, 0, (Span(0, 1),), batches, 7, 3)), (6, Segment(5, 6, 5, (Span(5, 1),), batches))))


def packed_frame(frame: Data) -> bytes:
    return b"".join(frame_chunks(9, frame, pack))


def plain(frame: Data) -> Data:
    return Data(tuple((lane, _plain(segment)) for lane, segment in frame.segments))


def _plain(segment: Segment) -> Segment:
    batches = tuple(bytes(batch) for batch in segment.batches)
    spans, latest_ms, epoch = segment.spans, segment.source_timestamp_ms, segment.leader_epoch
    first, end, ordinal = segment.first_source_offset, segment.next_source_offset, segment.first_ordinal
    return Segment(first, end, ordinal, spans, batches, latest_ms, epoch)


@settings(max_examples=50)
@given(BATCHES)
def test_what_was_packed_arrives_as_if_it_had_not_been(batches: list[bytes]) -> None:
    frame = data(*batches)
    sequence, arrived = decode_frame(packed_frame(frame), MOST)
    assert isinstance(arrived, Data)
    assert (sequence, plain(arrived)) == (9, frame)
    assert [each.weight_bytes for _, each in arrived.segments] == [each.weight_bytes for _, each in frame.segments]


@given(st.binary(max_size=200), st.integers(0, 10_000))
@settings(max_examples=50)
def test_any_bytes_are_unpacked_within_bounds_or_refused(noise: bytes, at: int) -> None:
    good = packed(bytes(2000) + noise)
    at %= len(good)
    for each in (noise, good[:at], good + noise[:1] + b"x", good[:at] + noise[:4] + good[at + 4 :]):
        with suppress(FrameMalformed):
            assert len(unpacked(each, 2500)) <= 2500


def test_the_wire_holds_one_zstd_frame_of_the_fields_in_their_place() -> None:
    frame = link_pb2.Frame.FromString(packed_frame(data(b"one" * 100, b"two")))
    segment = frame.data.segments[0]
    assert not segment.batches
    inner = link_pb2.Segment.FromString(zstandard.ZstdDecompressor().decompress(segment.packed_batches))
    assert inner == link_pb2.Segment(batches=[b"one" * 100, b"two"])


def test_more_than_is_allowed_is_refused_before_it_is_unpacked() -> None:
    bomb = packed_frame(data(bytes(600_000)))
    assert len(bomb) < 1000
    assert isinstance(decode_frame(bomb, 2 * 600_000 + 20)[1], Data)
    with pytest.raises(FrameMalformed, match="packed batches of 600004 bytes; 599999 are allowed"):
        decode_frame(bomb, 2 * 600_004 - 5)


def test_a_frame_that_does_not_state_its_size_is_refused() -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(FrameMalformed, match="packed batches of -1 bytes"):
        unpacked(stream, MOST)


def test_packed_batches_are_refused_where_they_were_not_agreed_or_are_not_alone() -> None:
    with pytest.raises(FrameMalformed, match="where there may be none"):
        decode_frame(packed_frame(data(b"batch" * 50)))
    both = link_pb2.Segment(next_source_offset=1, batches=[b"x"], packed_batches=packed(b""))
    frame = link_pb2.Frame(data=link_pb2.Data(segments=[both]))
    with pytest.raises(FrameMalformed, match="where there may be none"):
        decode_frame(frame.SerializeToString(), MOST)


def test_without_a_packer_nothing_is_packed() -> None:
    frame = data(b"batch" * 50)
    assert b"".join(frame_chunks(9, frame)) == encode_frame(9, frame) != packed_frame(frame)
