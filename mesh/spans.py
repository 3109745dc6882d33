"""Spans: what became of a stretch of source offsets.

A lane describes its source without holes: spans tile the offsets they speak of, so every source offset has
exactly one answer (rule E). A span without a reason holds visible records; a span with one is a gap (rule F).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple


class GapReason(IntEnum):
    """Why source offsets have no copy. The numbers are stored and sent: never renumber."""

    MARKER = 1
    """A control record: the end of a transaction."""
    ABORTED = 2
    """Records of an aborted transaction."""
    COMPACTED = 3
    """Offsets that the source's compaction removed, or never used."""
    FILTERED = 4
    """Records that a policy keeps back."""
    LOST = 5
    """Records that retention or truncation took before we copied them."""
    RECREATED = 6
    """Offsets of an earlier incarnation of the topic."""
    QUARANTINED = 7
    """Records that the destination refuses for their timestamps, left out by the subscriber. Never sent."""

    def __str__(self) -> str:
        return self.name.lower()


SENT_REASONS = tuple(reason for reason in GapReason if reason is not GapReason.QUARANTINED)
"""What an exporter may give: one that spoke of quarantine would count its records otherwise than the importer does."""


class Span(NamedTuple):
    """`length` source offsets from `source_offset`: records where `reason` is None, otherwise a gap."""

    source_offset: int
    length: int
    reason: GapReason | None = None

    @property
    def end(self) -> int:
        return self.source_offset + self.length


def tiles(spans: Sequence[Span], first: int, end: int) -> bool:
    """Whether `spans` cover [first, end) exactly, in order, each with at least one offset."""
    position = first
    for span in spans:
        if span.source_offset != position or span.length < 1:
            return False
        position = span.end
    return position == end


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same tiling with neighbours of one kind joined: the canonical form."""
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last is not None and last.reason == span.reason and last.end == span.source_offset:
            merged[-1] = Span(last.source_offset, last.length + span.length, span.reason)
        elif span.length:
            merged.append(span)
    return tuple(merged)


def record_count(spans: Iterable[Span]) -> int:
    return sum(span.length for span in spans if span.reason is None)
