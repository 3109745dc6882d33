"""What was re-read, skipped, doubled and lost, from the two logs; pure.

A record is known by its value, which no other record of its topic has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Entry(NamedTuple):
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Move:
    """A group that goes on at the destination. `position` is None where the mirror has none for it."""

    position: int | None
    reread: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return "no position" if self.position is None else f"{self.reread:,} / {self.skipped:,}"

    @property
    def is_exact(self) -> bool:
        return self.position is not None and not self.reread and not self.skipped


def move(source: Sequence[Entry], copy: Sequence[Entry], committed: int, position: int | None) -> Move:
    """What a group that had read the source up to `committed` reads again and misses from `position` of the copy."""
    if position is None:
        return Move(None)
    first = bisect_left([each.offset for each in source], committed)
    done = {each.value for each in source[:first]}
    read = [each.value for each in copy if each.offset >= position]
    reread = sum(value in done for value in read)
    skipped = len({each.value for each in source[first:]} - set(read))
    return Move(position, reread, skipped)


@dataclass(frozen=True, slots=True)
class Copy:
    """How a copy differs from its source: records lost, there more than once, and that no reader was to see."""

    lost: int
    doubled: int
    strange: int

    def __str__(self) -> str:
        return f"{self.lost:,} lost, {self.doubled:,} twice, {self.strange:,} aborted"

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.doubled or self.strange)


def compare(source: Sequence[Entry], copy: Sequence[Entry]) -> Copy:
    wanted, got = {each.value for each in source}, Counter(each.value for each in copy)
    return Copy(
        lost=len(wanted - got.keys()),
        doubled=sum(count - 1 for count in got.values()),
        strange=len(got.keys() - wanted),
    )
