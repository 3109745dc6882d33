"""What the offset map answers: values, one class per kind of answer, the same in both directions."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from mesh.spans import GapReason


class Run(NamedTuple):
    """`length` records that lie densely on both sides."""

    source_offset: int
    destination_offset: int
    length: int


class Gap(NamedTuple):
    """`length` source offsets without a copy."""

    source_offset: int
    length: int
    reason: GapReason


class Exact(NamedTuple):
    """The offset on the other side that holds the same record."""

    offset: int


class InGap(NamedTuple):
    """The source offset has no copy; `next_offset` is the copy of the first record after it, None if not yet copied."""

    reason: GapReason
    next_offset: int | None


class Foreign(NamedTuple):
    """The lane did not write the destination offset; `next_source_offset` is the source of the lane's next record."""

    next_source_offset: int


class Before(NamedTuple):
    """The offset lies before the first one the map speaks of."""

    first: int


class After(NamedTuple):
    """The offset is not covered yet; `position` is the next one that will be, on the side that was asked."""

    position: int


Answer: TypeAlias = Exact | InGap | Foreign | Before | After
