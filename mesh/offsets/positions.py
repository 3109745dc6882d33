"""Positions of readers across a lane: what was read on one side is not read again on the other, and nothing is skipped.

A position is the next offset to read, so it may be one that no record has: in a gap, or at the end. It stands for the
set of records at or after it, and translates to a position that stands for the copies of exactly those.

A. Forward: every copy at or after the answer is of a record at or after the position, and the other way round. What
   others wrote to the destination between the copies is nobody's copy: a reader may meet it.
B. Forward and back gives a position that stands for the same records; the other way round, too.
C. Where the map does not reach there is no answer, only a reason (rule E): a position before the map was never
   mirrored, one beyond it is not mirrored yet.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from mesh.offsets.answers import Before, Exact, Foreign, InGap
from mesh.offsets.view import OffsetView


class PositionKind(StrEnum):
    """How a position was translated, or why it was not."""

    EXACT = "exact"
    """A record lies there, its copy on the other side."""
    GAP = "gap"
    """Nothing visible lies there: the answer is the first record after it, or the end where none is copied yet."""
    END = "end"
    """The end of what is mirrored, on both sides."""
    FOREIGN = "foreign"
    """The mirror did not write the record there; the answer is the source of the next one that it wrote."""
    BEFORE = "before"
    BEYOND = "beyond"


class TranslatedPosition(NamedTuple):
    kind: PositionKind
    position: int | None
    """None where there is no answer: BEFORE and BEYOND."""
    reason: str = ""
    """Of a gap: why its offsets have no copy."""


def to_destination(view: OffsetView, position: int) -> TranslatedPosition:
    """Where a reader of the source that reads `position` next goes on at the destination. Raises IllegalOffset."""
    if position == view.position:
        return TranslatedPosition(PositionKind.END, view.destination_offset)
    match view.translate(position):
        case Exact(offset):
            return TranslatedPosition(PositionKind.EXACT, offset)
        case InGap(reason, copy):
            found = view.destination_offset if copy is None else copy
            return TranslatedPosition(PositionKind.GAP, found, str(reason))
        case Before():
            return TranslatedPosition(PositionKind.BEFORE, None)
        case _:
            return TranslatedPosition(PositionKind.BEYOND, None)


def to_source(view: OffsetView, position: int) -> TranslatedPosition:
    """Where a reader of the destination that reads `position` next goes on at the source. Raises IllegalOffset."""
    if position == view.destination_offset:
        return TranslatedPosition(PositionKind.END, view.position)
    match view.translate_back(position):
        case Exact(offset):
            return TranslatedPosition(PositionKind.EXACT, offset)
        case Foreign(offset):
            return TranslatedPosition(PositionKind.FOREIGN, offset)
        case Before():
            return TranslatedPosition(PositionKind.BEFORE, None)
        case _:
            return TranslatedPosition(PositionKind.BEYOND, None)
