"""A segment: a stretch of one lane as it travels, and the lane's place in its cluster.

Spans tile [first_source_offset, next_source_offset); the batches hold exactly the records of the spans without
a reason, in order, dense, whole, format v2. Where batches are cut is free (rule C); which record has which
ordinal is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.batch.stamp import Buffer
from mesh.errors import PeerError
from mesh.spans import Span, record_count

# What a segment weighs beside its batches: bounds of the protobuf framing, so that gaps alone are not free.
SEGMENT_BYTES, SPAN_BYTES, BATCH_BYTES = 64, 16, 8


@dataclass(eq=False)
class SegmentOutOfLine(PeerError):
    """A segment that does not follow the one before it: nothing of it is used."""

    lane: str
    why: str

    code: ClassVar[str] = "segment-out-of-line"
    sentence: ClassVar[str] = "the peer sent a segment of lane {lane} that does not fit: {why}"
    hint: ClassVar[str] = "the link is made anew; if it happens again, compare the two gateways' versions"


@dataclass(frozen=True, slots=True)
class Segment:
    first_source_offset: int
    next_source_offset: int
    first_ordinal: int
    """The ordinal of the first record in it, counted from 0 where the lane was opened on this link."""
    spans: tuple[Span, ...]
    batches: tuple[Buffer, ...]
    source_timestamp_ms: int = -1
    """The largest timestamp in it, -1 where it has no records: lag in seconds is measured by it."""
    leader_epoch: int = -1
    """Of the source batch that ends at `next_source_offset`, -1 unknown: by it a truncation of the source is found."""

    @property
    def size_bytes(self) -> int:
        return sum(len(batch) for batch in self.batches)

    @property
    def weight_bytes(self) -> int:
        """What it takes of credit and buffers: at least its bytes on the wire, and never nothing."""
        framing = SEGMENT_BYTES + SPAN_BYTES * len(self.spans) + BATCH_BYTES * len(self.batches)
        return framing + self.size_bytes

    @property
    def record_count(self) -> int:
        return record_count(self.spans)
