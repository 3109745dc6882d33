"""The offset map of one lane: every source offset has exactly one answer.

The map is a sequence of breaks: "from this source offset on, records from this destination offset" or "from
here on, a gap". What follows a break is dense up to the next one, the last reaches to `position`. A run that grows
therefore changes nothing; only a gap or a foreign write at the destination makes a break.

A. Canonical: no two neighbouring breaks say the same, and a gap's destination offset is the end of the lane's last
   copy, whatever others wrote since. So feeding the map in other pieces gives the same breaks.
B. Order is kept: of two records, the one with the higher source offset has the higher destination offset.
   A map that was cut back and grew again is the map that never held what was cut.
C. A translated position never lies beyond the copy of the record asked for: a reader may see again, never skip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Self

from mesh.offsets.answers import After, Answer, Before, Exact, Foreign, Gap, InGap, Run
from mesh.offsets.breaks import OFFSET_LIMIT, RECORDS, Break, BreakTable, pack, unpack
from mesh.offsets.errors import IllegalOffset, OffsetMapDamaged
from mesh.spans import GapReason

_NOTHING = -1
"""The kind of the last break where there is none."""


class OffsetMap:
    """Speaks of the source offsets [start, position) and the destination offsets [destination_start, …offset).

    `position` is the next source offset not covered, `destination_offset` the end of the lane's last copy (before
    there is one: `destination_start`). `records` counts the records it holds.
    """

    __slots__ = (
        "_breaks",
        "_kind",
        "destination_offset",
        "destination_start",
        "position",
        "records",
        "start",
    )
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, start: int, destination_start: int = 0, first_break: int = 0) -> None:
        assert 0 <= start < OFFSET_LIMIT
        assert 0 <= destination_start < OFFSET_LIMIT
        self.start = self.position = start
        self.destination_start = self.destination_offset = destination_start
        self.records = 0
        self._breaks = BreakTable(first_break)
        self._kind = _NOTHING

    def __repr__(self) -> str:
        return (
            f"OffsetMap([{self.start}, {self.position}) to [{self.destination_start}, {self.destination_offset}), "
            f"{self.records} records, breaks {self.first_break} to {self.end_break})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OffsetMap):
            return NotImplemented
        return self._extent() == other._extent() and self.breaks_since(0) == other.breaks_since(0)

    def _extent(self) -> tuple[int, ...]:
        return (self.start, self.position, self.destination_start, self.destination_offset, self.first_break)

    # Growing

    def add_records(self, source_offset: int, destination_offset: int, count: int) -> None:
        """`count` records from `source_offset`, which must be `position`, were written from `destination_offset`."""
        assert source_offset == self.position, (source_offset, self)
        assert destination_offset >= self.destination_offset, (destination_offset, self)
        assert count > 0
        assert max(source_offset, destination_offset) + count <= OFFSET_LIMIT
        if self._kind != RECORDS or destination_offset != self.destination_offset:
            self._breaks.append(source_offset, destination_offset, RECORDS)
            self._kind = RECORDS
        self.position = source_offset + count
        self.destination_offset = destination_offset + count
        self.records += count

    def add_gap(self, source_offset: int, count: int, reason: GapReason) -> None:
        """`count` source offsets from `source_offset`, which must be `position`, have no copy."""
        assert source_offset == self.position, (source_offset, self)
        assert count > 0
        assert source_offset + count <= OFFSET_LIMIT
        if self._kind != reason:
            self._breaks.append(source_offset, self.destination_offset, reason)
            self._kind = int(reason)
        self.position = source_offset + count

    def trim(self, before_source_offset: int) -> None:
        """Forget the breaks wholly before the offset (never the last one): their offsets then answer Before."""
        keep = self._breaks.at_source(min(before_source_offset, self.position))
        if keep <= self.first_break:
            return
        self.records -= sum(run.length for run in self._runs_to(keep))
        self._breaks.forget(keep)
        first = self._breaks[keep]
        self.start, self.destination_start = first.source_offset, first.destination_offset

    def cut_back(self, source_offset: int) -> None:
        """Speak of nothing from the source offset on: `position` returns to it, `destination_offset` to the last copy
        before it.

        The copies of what was cut stay where they are: once the map grows beyond them they answer Foreign. An offset
        before `start` empties the map, which then begins there.
        """
        assert source_offset <= self.position, (source_offset, self)
        if source_offset == self.position:
            return
        keep = self._breaks.at_source(source_offset - 1) + 1 if source_offset > self.start else self.first_break
        runs = self._runs(self._breaks.since(keep - 1 if keep > self.first_break else keep))
        self.records -= sum(run.source_offset + run.length - max(run.source_offset, source_offset) for run in runs)
        self._breaks.cut(keep)
        self.start, self.position = min(self.start, source_offset), source_offset
        self.destination_offset, self._kind = self.destination_start, _NOTHING
        if keep > self.first_break:
            last = self._breaks[keep - 1]
            copied = source_offset - last.source_offset if last.reason == RECORDS else 0
            self.destination_offset, self._kind = last.destination_offset + copied, last.reason

    # Asking

    def translate(self, source_offset: int) -> Answer:
        """Where the record of a source offset is; a reader that stands at `position` goes on at `destination_offset`.

        Exact, InGap, Before or After. Raises IllegalOffset.
        """
        _check(source_offset)
        if source_offset < self.start:
            return Before(self.start)
        if source_offset >= self.position:
            return After(self.position)
        found = self._breaks[self._breaks.at_source(source_offset)]
        if found.reason == RECORDS:
            return Exact(found.destination_offset + source_offset - found.source_offset)
        return InGap(_REASONS[found.reason], self._copy_after_gap(found.destination_offset))

    def _copy_after_gap(self, destination_offset: int) -> int | None:
        """Gaps in a row share their destination offset: the copy after them is the last break there, or the next."""
        index = self._breaks.at_destination(destination_offset)
        if self._breaks[index].reason == RECORDS:
            return destination_offset
        return self._breaks[index + 1].destination_offset if index + 1 < self.end_break else None

    def translate_back(self, destination_offset: int) -> Answer:
        """Which record a destination offset holds: Exact, Foreign, Before or After. Raises IllegalOffset."""
        _check(destination_offset)
        if destination_offset < self.destination_start:
            return Before(self.destination_start)
        if destination_offset >= self.destination_offset:
            return After(self.destination_offset)
        index = self._breaks.at_destination(destination_offset)
        if index >= self.first_break:
            found = self._breaks[index]
            source_offset = found.source_offset + destination_offset - found.destination_offset
            if found.reason == RECORDS and source_offset < self._end_of(index):
                return Exact(source_offset)
        # The next break lies beyond, so it is not a gap (gaps lie at the end of the last copy), and it exists,
        # because a copy lies beyond.
        return Foreign(self._breaks[index + 1].source_offset)

    def _end_of(self, index: int) -> int:
        return self._breaks[index + 1].source_offset if index + 1 < self.end_break else self.position

    def runs(self) -> Iterator[Run]:
        """The runs, each as long as it is dense on both sides."""
        return self._runs(self._breaks.since(0))

    def _runs_to(self, end_break: int) -> Iterator[Run]:
        until = self._breaks[end_break].source_offset
        return takewhile(lambda run: run.source_offset < until, self.runs())

    def _runs(self, breaks: Iterable[Break]) -> Iterator[Run]:
        for found, end in _extents(breaks, self.position):
            if found.reason == RECORDS:
                yield Run(found.source_offset, found.destination_offset, end - found.source_offset)

    def gaps(self) -> Iterator[Gap]:
        """The gaps, neighbours of one reason as one."""
        for found, end in self._extents():
            if found.reason != RECORDS:
                yield Gap(found.source_offset, end - found.source_offset, _REASONS[found.reason])

    def _extents(self) -> Iterator[tuple[Break, int]]:
        return _extents(self._breaks.since(0), self.position)

    # Storing

    @property
    def first_break(self) -> int:
        return self._breaks.first

    @property
    def end_break(self) -> int:
        """The index that the next break will get; breaks count from the lane's beginning, forgotten ones too."""
        return self._breaks.end

    def break_offset(self, index: int) -> int:
        """The source offset at which break `index` stands."""
        return self._breaks[index].source_offset

    def breaks_since(self, index: int, end: int | None = None) -> bytes:
        """The breaks [index, end) that are kept, 16 bytes each."""
        first = max(index, self.first_break)
        count = (self.end_break if end is None else end) - first
        return pack(found for _, found in zip(range(count), self._breaks.since(first), strict=False))

    @classmethod
    def load(
        cls, start: int, packed: Iterable[bytes], position: int, destination_start: int = 0, first_break: int = 0
    ) -> Self:
        """The map whose breaks, from `first_break` on, are `packed` in pieces of any size. Raises OffsetMapDamaged."""
        if not (0 <= start <= position <= OFFSET_LIMIT and 0 <= destination_start < OFFSET_LIMIT):
            raise OffsetMapDamaged(first_break, "its bounds are out of range or out of order")
        loaded = cls(start, destination_start, first_break)
        breaks = (found for piece in packed for found in _unpack(piece, loaded))
        for found, end in _extents(breaks, position):
            loaded._restore(found, end)
        if loaded.position != position:
            raise OffsetMapDamaged(first_break, "there are no breaks for the offsets covered")
        return loaded

    def _restore(self, found: Break, end: int) -> None:
        """Add what follows a break, and check that adding it makes just that break."""
        index, length = self.end_break, end - found.source_offset
        if found.source_offset != self.position or length < 1 or end > OFFSET_LIMIT:
            raise OffsetMapDamaged(index, f"source offset {found.source_offset} is out of order")
        if found.destination_offset < self.destination_offset or found.destination_offset + length > OFFSET_LIMIT:
            raise OffsetMapDamaged(index, f"destination offset {found.destination_offset} is out of order")
        if found.reason == RECORDS:
            self.add_records(found.source_offset, found.destination_offset, length)
        elif found.reason in _REASONS and found.destination_offset == self.destination_offset:
            self.add_gap(found.source_offset, length, _REASONS[found.reason])
        else:
            raise OffsetMapDamaged(index, f"a gap of reason {found.reason} at {found.destination_offset}")
        if self.end_break != index + 1:
            raise OffsetMapDamaged(index, "it says what the one before it says")


_REASONS = {int(reason): reason for reason in GapReason}


def _unpack(piece: bytes, loaded: OffsetMap) -> Iterator[Break]:
    try:
        yield from unpack(piece)
    except ValueError as error:
        raise OffsetMapDamaged(loaded.end_break, str(error)) from error


def _extents(breaks: Iterable[Break], position: int) -> Iterator[tuple[Break, int]]:
    """Each break with the source offset at which what it says ends."""
    previous: Break | None = None
    for found in breaks:
        if previous is not None:
            yield previous, found.source_offset
        previous = found
    if previous is not None:
        yield previous, position


def _check(offset: int) -> None:
    if not 0 <= offset < OFFSET_LIMIT:
        raise IllegalOffset(offset)
