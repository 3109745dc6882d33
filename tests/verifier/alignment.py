"""Which source record each record of a copy is: everything else that is said of two logs rests on it.

A record is known by the id that it carries, so that a damaged copy is still known; without a journal, or without an
id in it, by its digest. One pass: while the next expected source record comes, it is ticked off; where
another comes, it is looked up, and

    a later one that has no copy yet      is a copy; those in between may still come
    an earlier one that has no copy yet   is a copy out of order
    one that has a copy                   is a duplicate
    one that no reader may see            is a phantom (aborted, open, before the lane's start)
    one that was never at the source      an orphan where the source had it in a history that it lost, foreign where it
                                          was written by a producer that is not the lane's; otherwise altered, if it
                                          stands for a missing record between the same neighbours, or a phantom
"""

from __future__ import annotations

from array import array
from collections.abc import Set
from dataclasses import dataclass, field

from tests.verifier.merging import Merged
from tests.verifier.model import NONE, VISIBLE, Journal, Lane, Log

COPY, LATE, DUPLICATE, ALTERED, PHANTOM, FOREIGN, ORPHAN, HIDDEN = range(8)
"""HIDDEN: of the destination's own transactions, not visible to its readers."""
NAMES = ("copies", "copies out of order", "duplicates", "altered", "phantoms", "foreign", "orphans", "hidden")

NOT_EXPECTED, EXPECTED, OPTIONAL = 0, 1, 2
_UNSEEN = 255


@dataclass(slots=True)
class Alignment:
    """`source` and `destination` are merged logs; indices are of their records."""

    lane: Lane
    source: Log
    destination: Log
    first: int
    """The first record of the destination that concerns the lane."""
    last: int
    """The one after the last."""
    expected: bytearray
    copies: array[int]
    """Of each source record, the destination record that is its first copy."""
    sources: array[int]
    """Of each destination record, the source record."""
    kinds: bytearray
    producers: Set[int] | None
    """The lane's own; None: not told."""
    foreign: list[int] = field(default_factory=list)
    begins_late: bool = False
    """The destination's beginning was not read: what is missing there is not known."""

    def missing(self) -> list[int]:
        """Expected source records without a copy."""
        copies, expected = self.copies, self.expected
        return [at for at in range(len(copies)) if copies[at] == NONE and expected[at] == EXPECTED]

    def of_kind(self, kind: int) -> list[int]:
        """Records of the destination."""
        kinds, found, at = self.kinds, [], self.kinds.find(kind)
        while at >= 0:
            found.append(at)
            at = kinds.find(kind, at + 1)
        return found


def align(
    lane: Lane,
    source: Merged,
    destination: Merged,
    ends_before: int,
    producers: Set[int] | None,
    orphans: Set[bytes] = frozenset(),
    journal: Journal | None = None,
) -> Alignment:
    """`ends_before`: where the next incarnation of the lane begins in the destination."""
    copy = destination.log
    inside = [at for at, offset in enumerate(copy.offsets) if lane.destination_start <= offset < ends_before]
    first, last = (inside[0], inside[-1] + 1) if inside else (0, 0)
    walk = _Walk(lane, source, copy, first, last, producers, orphans, journal)
    walk.run()
    found = walk.found
    found.begins_late = destination.start > lane.destination_start
    found.foreign = found.of_kind(FOREIGN)
    return found


def expectations(lane: Lane, source: Merged) -> bytearray:
    """What a reader of the source sees from the lane's start. What compaction took away may have a copy or none; what
    retention took away must have been copied, or be told as lost."""
    log = source.log
    expected = bytearray(len(log))
    for at, (offset, kind) in enumerate(zip(log.offsets, log.kinds, strict=True)):
        if kind == VISIBLE and lane.source_start <= offset < log.last_stable:
            is_gone = at in source.gone and (lane.compacted or offset >= log.start)
            expected[at] = OPTIONAL if is_gone else EXPECTED
    return expected


class _Walk:
    def __init__(
        self,
        lane: Lane,
        source: Merged,
        copy: Log,
        first: int,
        last: int,
        producers: Set[int] | None,
        orphans: Set[bytes],
        journal: Journal | None,
    ) -> None:
        self.journal = journal
        self.source, self.copy, self.orphans = source.log, copy, orphans
        expected = expectations(lane, source)
        copies, sources = array("q", [NONE]) * len(source.log), array("q", [NONE]) * len(copy)
        kinds = bytearray([_UNSEEN]) * len(copy)
        self.found = Alignment(lane, source.log, copy, first, last, expected, copies, sources, kinds, producers)
        self._index: dict[int | bytes, list[int] | int] = {}

    def run(self) -> None:
        found, source, copy = self.found, self.source, self.copy
        expected, copies, copy_kinds = found.expected, found.copies, copy.kinds
        source_writes, copy_writes = source.writes, copy.writes
        end = len(source)
        at = 0
        for record in range(found.first, found.last):
            if copy_kinds[record] != VISIBLE:
                found.kinds[record] = HIDDEN
                continue
            while at < end and expected[at] != EXPECTED:
                at += 1
            is_next = at < end and copy_writes[record] == source_writes[at] and copies[at] == NONE
            if is_next and (source_writes[at] != NONE or source.digest(at) == copy.digest(record)):
                self._tick(record, at, COPY)
                at += 1
            else:
                at = self._look_up(record, at)
        self._settle_unknown()

    def _tick(self, record: int, at: int, kind: int) -> None:
        found = self.found
        found.sources[record], found.kinds[record] = at, kind
        if found.copies[at] == NONE:
            found.copies[at] = record

    def _look_up(self, record: int, next_expected: int) -> int:
        found = self.found
        places = self._places(_token(self.copy, record))
        wanted = [at for at in places if found.expected[at]]
        free = [at for at in wanted if found.copies[at] == NONE]
        later = [at for at in free if at >= next_expected]
        if later:
            self._tick(record, later[0], COPY)
            return later[0] + 1
        if free:
            in_order = self._is_in_order(record, free[0])
            self._tick(record, free[0], COPY if in_order else LATE)
        elif wanted:
            self._tick(record, wanted[0], DUPLICATE)
        elif places:
            self._tick(record, places[0], PHANTOM)
        return next_expected

    def _is_in_order(self, record: int, at: int) -> bool:
        """Whether an optional record that was passed over comes where it belongs."""
        before = record - 1
        while before >= self.found.first and self.found.kinds[before] not in (COPY, DUPLICATE):
            before -= 1
        return before < self.found.first or self.found.sources[before] < at

    def _places(self, token: int | bytes) -> list[int]:
        if not self._index:
            index = self._index
            for at in range(len(self.source)):
                before = index.setdefault(each := _token(self.source, at), at)
                if isinstance(before, list):
                    before.append(at)
                elif before != at:
                    index[each] = [before, at]
        found = self._index.get(token, [])
        return found if isinstance(found, list) else [found]

    def _settle_unknown(self) -> None:
        """Groups of records that the source never had, each between its neighbours."""
        found, record = self.found, self.found.first
        while record < found.last:
            if found.kinds[record] != _UNSEEN:
                record += 1
                continue
            end = record
            while end < found.last and found.kinds[end] == _UNSEEN:
                end += 1
            self._settle(record, end)
            record = end

    def _settle(self, first: int, end: int) -> None:
        found = self.found
        strangers = [record for record in range(first, end) if self._is_stranger(record)]
        missing = self._missing_between(first, end)
        for record in strangers:
            producer = producer_of(self.copy, record)
            if self.copy.digest(record) in self.orphans:
                found.kinds[record] = ORPHAN
            elif found.producers is not None and producer not in found.producers:
                found.kinds[record] = FOREIGN
            elif missing and not self._was_written(record):
                self._tick(record, missing.pop(0), ALTERED)
            else:
                found.kinds[record] = PHANTOM

    def _was_written(self, record: int) -> bool:
        """Whether it is a record of its own, of a failed write or another partition: not another one's damaged copy."""
        if self.journal is None:
            return False
        return self.copy.writes[record] != NONE or self.journal.find(self.copy.digest(record)) != NONE

    def _is_stranger(self, record: int) -> bool:
        return self.found.kinds[record] == _UNSEEN

    def _missing_between(self, first: int, end: int) -> list[int]:
        found = self.found
        before = first - 1
        while before >= found.first and found.kinds[before] not in (COPY, ALTERED):
            before -= 1
        low = found.sources[before] + 1 if before >= found.first else 0
        after = end
        while after < found.last and found.kinds[after] != COPY:
            after += 1
        high = found.sources[after] if after < found.last else len(self.source)
        wanted: list[int] = []
        for at in range(low, high):
            if found.expected[at] == EXPECTED and found.copies[at] == NONE:
                wanted.append(at)
                if len(wanted) == end - first:
                    break
        return wanted


def _token(log: Log, record: int) -> int | bytes:
    write = log.writes[record]
    return write if write != NONE else log.digest(record)


def batch_of(log: Log, record: int) -> int:
    """The batch that a record of a raw reading lies in."""
    low, high = 0, len(log.base_offsets)
    offset = log.offsets[record]
    while low < high:
        middle = (low + high) // 2
        if log.base_offsets[middle] <= offset:
            low = middle + 1
        else:
            high = middle
    return low - 1


def producer_of(log: Log, record: int) -> int:
    batch = batch_of(log, record)
    return log.producer_ids[batch] if batch >= 0 else NONE
