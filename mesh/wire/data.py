"""Data frames as bytes, by hand: the one frame that carries volume.

The generated classes copy every batch twice on the way out and once on the way in. Here a frame is joined once
from views, and read as views into the received message. The bytes are those of the generated `Frame`; a test
holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.batch.stamp import Buffer
from mesh.link.errors import FrameMalformed
from mesh.link.frames import Data
from mesh.segment import Segment
from mesh.spans import SENT_REASONS, GapReason, Span
from mesh.wire.packing import unpacked
from mesh.wire.varint import encode, fields, length_prefix, packed, signed, size_of, tagged

# Field numbers of proto/mesh/wire/v1/link.proto.
_FRAME_SEQUENCE, _FRAME_DATA, _DATA_SEGMENTS = 1, 15, 1
_LANE, _FIRST, _NEXT, _ORDINAL, _LENGTHS, _REASONS, _TIMESTAMP, _BATCHES, _EPOCH, _PACKED = range(1, 11)
Pack = Callable[[int, Sequence[Buffer]], Buffer | None]
"""Given a lane and its segment's batches as fields: the same packed, or None where they go as they are."""
MAX_OFFSET = 1 << 56
# A span costs two bytes on the wire and fifty times that in memory; an honest frame has a few thousand.
MAX_SPANS = 1 << 20
_MAX_LANE = 1 << 32
_MAX_EPOCH = 1 << 31


def data_chunks(sequence: int, data: Data, pack: Pack = lambda lane, fields: None) -> list[Buffer]:
    """A Frame with a Data body, to be joined."""
    body: list[Buffer] = []
    for lane, segment in data.segments:
        chunks = _segment_chunks(lane, segment, pack)
        body.append(length_prefix(_DATA_SEGMENTS, size_of(chunks)))
        body += chunks
    head = tagged(_FRAME_SEQUENCE, sequence) + length_prefix(_FRAME_DATA, size_of(body))
    return [head, *body]


def _segment_chunks(lane: int, segment: Segment, pack: Pack) -> list[Buffer]:
    lengths = b"".join(encode(span.length) for span in segment.spans)
    reasons = bytes(int(span.reason or 0) for span in segment.spans)
    chunks: list[Buffer] = [
        tagged(_LANE, lane)
        + tagged(_FIRST, segment.first_source_offset)
        + tagged(_NEXT, segment.next_source_offset)
        + tagged(_ORDINAL, segment.first_ordinal)
        + length_prefix(_LENGTHS, len(lengths))
        + lengths
        + length_prefix(_REASONS, len(reasons))
        + reasons
        + tagged(_TIMESTAMP, segment.source_timestamp_ms)
    ]
    batches: list[Buffer] = []
    for batch in segment.batches:
        batches += (length_prefix(_BATCHES, len(batch)), batch)
    if batches and (small := pack(lane, batches)) is not None:
        batches = [length_prefix(_PACKED, len(small)), small]
    chunks += batches
    if segment.leader_epoch >= 0:
        chunks.append(encode(_EPOCH << 3) + encode(segment.leader_epoch))  # 0 is an epoch, too: the first
    return chunks


def decode_data(data: memoryview, max_unpacked_bytes: int = 0) -> Data:
    """The Data message in `data`; batches are views into it, or into what was packed. Raises FrameMalformed.

    What was packed may have `max_unpacked_bytes` in all segments together; 0: nothing may be packed.
    """
    segments = []
    spans = 0
    for number, value in fields(data):
        if number == _DATA_SEGMENTS:
            lane, segment, unpacked_bytes = _segment(value, MAX_SPANS - spans, max_unpacked_bytes)
            segments.append((lane, segment))
            spans += len(segment.spans)
            max_unpacked_bytes -= unpacked_bytes
    return Data(tuple(segments))


def _segment(value: int | memoryview, max_spans: int, max_unpacked_bytes: int) -> tuple[int, Segment, int]:
    """The lane, the segment, and the size of what was packed in it."""
    if isinstance(value, int):
        raise FrameMalformed("a segment is a number")
    numbers: dict[int, int] = {}
    lengths: list[int] = []
    reasons: list[int] = []
    batches: list[Buffer] = []
    small: memoryview | None = None
    for number, part in fields(value):
        if number == _LENGTHS:
            lengths += packed(part)
        elif number == _REASONS:
            reasons += packed(part)
        elif number == _BATCHES and not isinstance(part, int):
            batches.append(part)
        elif number == _PACKED and not isinstance(part, int):
            small = part
        elif isinstance(part, int):
            numbers[number] = part
    if len(lengths) > max_spans:
        raise FrameMalformed(f"it has more than {MAX_SPANS} spans")
    if numbers.get(_LANE, 0) >= _MAX_LANE:
        raise FrameMalformed(f"lane {numbers[_LANE]} is no 32-bit number")
    unpacked_bytes = 0
    if small is not None:
        if batches or not max_unpacked_bytes:
            raise FrameMalformed("it has packed batches where there may be none")
        whole = memoryview(unpacked(small, max_unpacked_bytes))
        batches = [part for number, part in fields(whole) if number == _BATCHES and not isinstance(part, int)]
        unpacked_bytes = len(whole)
    first = numbers.get(_FIRST, 0)
    segment = Segment(
        first_source_offset=offset(first),
        next_source_offset=offset(numbers.get(_NEXT, 0)),
        first_ordinal=offset(numbers.get(_ORDINAL, 0)),
        spans=_spans(first, lengths, reasons),
        batches=tuple(batches),
        source_timestamp_ms=signed(numbers.get(_TIMESTAMP, 0)),
        leader_epoch=_epoch(numbers.get(_EPOCH)),
    )
    return numbers.get(_LANE, 0), segment, unpacked_bytes


def _epoch(value: int | None) -> int:
    """An epoch that no log can have is not known."""
    return value if value is not None and value < _MAX_EPOCH else -1


def _spans(first: int, lengths: list[int], reasons: list[int]) -> tuple[Span, ...]:
    if len(lengths) != len(reasons):
        raise FrameMalformed(f"{len(lengths)} span lengths and {len(reasons)} reasons")
    spans = []
    for length, reason in zip(lengths, reasons, strict=True):
        if reason not in _REASONS_BY_NUMBER:
            raise FrameMalformed(f"gap reason {reason} is not known")
        spans.append(Span(first, offset(length), _REASONS_BY_NUMBER[reason]))
        first += length
    return tuple(spans)


_REASONS_BY_NUMBER: dict[int, GapReason | None] = {0: None, **{int(reason): reason for reason in SENT_REASONS}}


def offset(value: int) -> int:
    """`value`, if a log can have such an offset (or a timestamp such milliseconds). Raises FrameMalformed."""
    if value >= MAX_OFFSET:
        raise FrameMalformed(f"offset {value} is larger than any log")
    return value
