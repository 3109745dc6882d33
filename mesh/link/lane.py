"""One lane on one link, as either side keeps it: state, credit, and the position its data has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.link.errors import CreditExceeded, FrameUnexpected
from mesh.link.frames import LaneOpen
from mesh.link.table import EXPORTING, IMPORTING, LaneState
from mesh.segment import Segment, SegmentOutOfLine
from mesh.spans import tiles


@dataclass(slots=True)
class Lane:
    """`position` and `ordinal` are those of the next segment; ordinals count from 0 on each link.

    `credit_bytes` is what may still be sent. A segment may go while any is left, so that a batch larger than the
    window is not stuck; the credit then turns negative and must be earned back.
    """

    opening: LaneOpen
    importing: bool
    state: LaneState = LaneState.IDLE
    position: int = -1
    ordinal: int = 0
    credit_bytes: int = 0
    acknowledged: int = -1

    @property
    def number(self) -> int:
        return self.opening.lane

    def move(self, move: str) -> None:
        """Follow the table, or raise FrameUnexpected."""
        table: Mapping[tuple[LaneState, str], LaneState] = IMPORTING if self.importing else EXPORTING
        after = table.get((self.state, move))
        if after is None:
            raise FrameUnexpected(move, self.state.value)
        self.state = after

    def advance(self, segment: Segment) -> None:
        """Check that `segment` follows the one before it and is covered by credit, and move past it."""
        if self.credit_bytes <= 0:
            raise CreditExceeded(self.number)
        if segment.first_source_offset != self.position or segment.first_ordinal != self.ordinal:
            raise SegmentOutOfLine(
                str(self.number),
                f"it begins at source offset {segment.first_source_offset}, record {segment.first_ordinal}; "
                f"expected {self.position}, record {self.ordinal}",
            )
        if not tiles(segment.spans, segment.first_source_offset, segment.next_source_offset):
            raise SegmentOutOfLine(str(self.number), "its spans do not cover its offsets exactly")
        if segment.next_source_offset == segment.first_source_offset:
            raise SegmentOutOfLine(str(self.number), "it is empty")
        self.position = segment.next_source_offset
        self.ordinal += segment.record_count
        self.credit_bytes -= segment.weight_bytes

    def acknowledge(self, source_offset: int) -> None:
        """Record an acknowledgement, which never goes back nor beyond what was sent."""
        if not max(self.acknowledged, 0) <= source_offset <= self.position:
            raise FrameUnexpected(f"acknowledgement of {source_offset}", f"at {self.acknowledged} to {self.position}")
        self.acknowledged = source_offset

    def __repr__(self) -> str:
        side = "importing" if self.importing else "exporting"
        return f"<Lane {self.number} {side} {self.state.value} at {self.position} credit {self.credit_bytes}>"
