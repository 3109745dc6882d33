"""What the source's offsets tell beside lag: a transaction that holds back records, and retention that comes nearer.

A watch is a value: each word of the source's offsets gives the next one. It outlives links and runs of the lane, so
that of a lane that stands still the last known values, and their age, are at hand.

A. Stalled is what lies beyond the last stable offset, since that offset last moved. It is not lag: it cannot be copied.
B. A lane that stands still is reached as fast as the log's start has moved. One that moves loses ground only as fast as
   its lag grows, since in the long run a log's start moves as fast as its end, though by leaps of whole segments.
C. Nothing is forecast of a log whose start has not moved, nor of a lane at the end of its source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from mesh.lanes.status import LaneState, LaneStatus
from mesh.log import LogRange

STALL_WARNING_S = 60.0
"""As long as a producer's transaction may be open by default: what takes longer has probably lost its producer."""
RETENTION_WARNING_S = 86_400.0
"""A day: a lane that was paused on Friday should be spoken of on Friday."""
MARKS = 64
"""Kept of the past; when there are more, every second one is forgotten, so that they reach back ever further."""
PACE_MS = 600_000
"""Over how long the pace of a moving lane is taken."""
LEAST_MS = 10_000
"""A shorter time says nothing about a pace."""
MOVING = frozenset({LaneState.RUNNING, LaneState.CATCHING_UP})


class Mark(NamedTuple):
    at_ms: int
    log_start: int
    last_stable: int
    position: int


@dataclass(frozen=True, slots=True)
class SourceWatch:
    range: LogRange | None = None
    """As last heard of."""
    heard_ms: int = -1
    """When, by our clock."""
    stalled_since_ms: int | None = None
    """Since when records lie beyond a last stable offset that does not move; None while there are none."""
    marks: tuple[Mark, ...] = ()

    def heard(self, log_range: LogRange, position: int, now_ms: int) -> SourceWatch:
        """The watch after word of the source's offsets, while the lane stood at `position`."""
        if self.range is not None and (log_range.start < self.range.start or log_range.end < self.range.end):
            return SourceWatch().heard(log_range, position, now_ms)  # another history, of which nothing is known
        mark = Mark(now_ms, log_range.start, log_range.last_stable, position)
        return SourceWatch(log_range, now_ms, self._since(log_range, now_ms), _thinned((*self.marks, mark)))

    def _since(self, log_range: LogRange, now_ms: int) -> int | None:
        if log_range.end <= log_range.last_stable:
            return None
        moved = self.range is None or self.range.last_stable != log_range.last_stable
        return now_ms if moved or self.stalled_since_ms is None else self.stalled_since_ms

    @property
    def stalled_records(self) -> int:
        """Offsets beyond the last stable one."""
        return max(0, self.range.end - self.range.last_stable) if self.range is not None else 0

    def stalled_s(self, now_ms: int) -> float:
        return max(0, now_ms - self.stalled_since_ms) / 1000 if self.stalled_since_ms is not None else 0.0

    def retention_s(self, position: int, now_ms: int, *, moving: bool) -> float | None:
        """In how many seconds the log's start reaches `position`, None where nothing points to it."""
        if self.range is None or position < 0 or position >= self.range.end:
            return None
        if position >= self.range.last_stable and self.stalled_s(now_ms) < STALL_WARNING_S:
            return None
        if self.range.start > position:
            return 0.0
        closing = self._closing_per_ms(moving=moving)
        if closing is None:
            return None
        reached_ms = self.heard_ms + (position - self.range.start) / closing
        return max(0.0, reached_ms - now_ms) / 1000

    def _closing_per_ms(self, *, moving: bool) -> float | None:
        """Offsets by which the log's start comes nearer in a millisecond, None where it does not."""
        first, last = self.marks[0], self.marks[-1]
        if last.at_ms - first.at_ms < LEAST_MS or last.log_start <= first.log_start:
            return None
        if not moving:
            return (last.log_start - first.log_start) / (last.at_ms - first.at_ms)
        before = next((mark for mark in reversed(self.marks) if last.at_ms - mark.at_ms >= PACE_MS), first)
        lost = (last.last_stable - last.position) - (before.last_stable - before.position)
        return lost / (last.at_ms - before.at_ms) if lost > 0 else None


def _thinned(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return (*marks[:-1:2], marks[-1]) if len(marks) > MARKS else marks


def watched(status: LaneStatus, watch: SourceWatch, now_ms: int) -> LaneStatus:
    """The status with what the watch knows."""
    if watch.range is None:
        return status
    return replace(
        status,
        source_heard_s=max(0, now_ms - watch.heard_ms) / 1000,
        stalled_records=watch.stalled_records,
        stalled_s=watch.stalled_s(now_ms),
        retention_s=watch.retention_s(status.source_position, now_ms, moving=status.state in MOVING),
    )
