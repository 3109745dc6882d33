"""From a fetch answer to what leaves: which records are visible, as dense batches, and why the others are not.

Batches that are dense, not control and of CreateTime leave with their bytes untouched, as a view of the answer: as many
at once as follow each other, without a step per batch (`mesh.batch.native`). Any other that holds visible records is
decoded and encoded densely; messages of old formats become batches. Invariants:
A. The spans tile [position, next) exactly; the batches hold the records of the spans without a reason, in order.
B. What is answered depends on the log alone, not on where the answers were cut: aborted transactions are
   known from the answer's own list, which names every one that overlaps the answer, also those begun before it.
C. Nothing at or above the last stable offset leaves.
D. A batch that is decoded is held as bytes; its records become objects a piece at a time, and so leave.
"""

from __future__ import annotations

from collections.abc import Iterator

from crc32c import crc32c

from mesh.batch.encode import encode, pieces, size_of
from mesh.batch.errors import LogUnreadable, OldFormat
from mesh.batch.header import (
    APPEND_TIME_BIT,
    CONTROL_BIT,
    CRC_START,
    HEADER_BYTES,
    LENGTH_END,
    MAGIC_AT,
    BatchHeader,
    split,
)
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.native import stretch
from mesh.batch.old import split_any
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Buffer
from mesh.errors import PeerError
from mesh.log import AbortedTransaction, Fetched
from mesh.segment import Segment
from mesh.spans import GapReason, Span, merge

_ABORT_KEY = b"\x00\x00\x00\x00"
"""The key of an abort marker: version 0, type 0; a commit has type 1."""


def cut(
    fetched: Fetched, position: int, ordinal: int, max_bytes: int, limits: Limits = DEFAULT_LIMITS
) -> Segment | None:
    """The first of the answer's `segments`, None where it reaches no further than `position`."""
    return next(segments(fetched, position, ordinal, max_bytes, limits), None)


def segments(
    fetched: Fetched,
    position: int,
    ordinal: int,
    max_bytes: int,
    limits: Limits = DEFAULT_LIMITS,
    *,
    joined: bool = False,
) -> Iterator[Segment]:
    """What the answer holds from source offset `position` on; `ordinal` is the first record's.

    A segment stops before the batch that would pass `max_bytes` (as it lies in the log), but takes at least one. Where
    `joined`, batches that leave together are one entry of it. Raises LogUnreadable (a length, CRC, order or record that
    cannot be), but only once all that lies before the damage has left.
    """
    answer = _Answer(fetched, limits)
    while True:
        taken = _Taken(position, joined=joined)
        try:
            answer.give(taken, max_bytes)
        except LogUnreadable:
            if taken.next == position:
                raise
        if taken.next == position:
            return
        segment = taken.segment(position, ordinal)
        position, ordinal = taken.next, ordinal + segment.record_count
        yield segment


class _Aborted:
    """Which producers' transactions end in an abort, as of the batch reached: the read_committed algorithm."""

    def __init__(self, transactions: tuple[AbortedTransaction, ...]) -> None:
        self._waiting = sorted(transactions, key=lambda one: one.first_offset, reverse=True)
        self._open: set[int] = set()

    @property
    def none_hidden(self) -> bool:
        """Whether every transaction in the answer was committed."""
        return not self._waiting and not self._open

    def advance(self, header: BatchHeader, batch: memoryview, limits: Limits) -> None:
        waiting = self._waiting
        while waiting and waiting[-1].first_offset <= header.last_offset:
            self._open.add(waiting.pop().producer_id)
        if header.producer_id in self._open and header.is_control and _is_abort(header, batch, limits):
            self._open.discard(header.producer_id)

    def hides(self, header: BatchHeader) -> bool:
        return header.is_transactional and header.producer_id in self._open


class _Taken:
    """What leaves as one segment, so far."""

    def __init__(self, position: int, *, joined: bool) -> None:
        self.next = position
        self.spans: list[Span] = []
        self.batches: list[Buffer] = []
        self.size = 0
        self.latest_ms = -1
        self.leader_epoch = -1
        """Of the last batch of which anything was taken."""
        self._joined = joined

    def gap(self, end: int, reason: GapReason) -> None:
        if end > self.next:
            self.spans.append(Span(self.next, end - self.next, reason))
            self.next = end

    def records(self, count: int) -> None:
        self.spans.append(Span(self.next, count))
        self.next += count

    def batch(self, batch: Buffer, latest_ms: int) -> None:
        self.batches.append(batch)
        self.size += len(batch)
        self.latest_ms = max(self.latest_ms, latest_ms)

    def stretch(self, batches: memoryview, latest_ms: int) -> None:
        """Several batches, untouched."""
        self.batches += [batches] if self._joined else [batch for _, batch in split(batches)]
        self.size += len(batches)
        self.latest_ms = max(self.latest_ms, latest_ms)

    def segment(self, first: int, ordinal: int) -> Segment:
        spans, batches = merge(self.spans), tuple(self.batches)
        return Segment(first, self.next, ordinal, spans, batches, self.latest_ms, self.leader_epoch)


class _Answer:
    """An answer being read: what was given is behind us."""

    def __init__(self, fetched: Fetched, limits: Limits) -> None:
        self._data = fetched.data
        self._range = fetched.range
        self._limits = limits
        self._aborted = _Aborted(fetched.aborted)
        self._at = 0
        self._expected = -1
        """Where the next batch begins at the earliest."""
        self._ahead: tuple[BatchHeader, memoryview] | None = None
        self._old: Iterator[tuple[BatchHeader, memoryview]] | None = None
        """From the first message of an old format on: it may be many batches, so no byte of the answer is theirs."""

    def give(self, taken: _Taken, max_bytes: int) -> None:
        """What comes next, up to the batch that would pass `max_bytes`, or end above the last stable offset."""
        while (one := self._next()) is not None:
            header, batch = one
            if header.next_offset > self._range.last_stable:
                return
            if header.base_offset < self._expected:
                raise LogUnreadable(
                    header.base_offset, f"a batch begins below {self._expected}, the end of the one before"
                )
            if taken.batches and taken.size + len(batch) > max_bytes and header.next_offset > taken.next:
                return
            if self._old is not None or not self._give_stretch(taken, max_bytes - taken.size):
                self._give_one(taken, header, batch)

    def _next(self) -> tuple[BatchHeader, memoryview] | None:
        if self._ahead is None and self._old is None:
            try:
                self._ahead = next(split(self._data[self._at :]), None)
            except OldFormat:
                self._old = split_any(self._data[self._at :], self._limits)
        if self._ahead is None and self._old is not None:
            self._ahead = next(self._old, None)
        if self._ahead is None and self._expected < 0 and self._data:
            raise LogUnreadable(self._range.start, f"an answer of {len(self._data)} bytes holds no whole batch")
        return self._ahead

    def _passed(self, size_bytes: int, next_offset: int) -> None:
        self._at, self._expected, self._ahead = self._at + size_bytes, next_offset, None

    def _give_stretch(self, taken: _Taken, max_bytes: int) -> bool:
        last_stable, all_visible = self._range.last_stable, self._aborted.none_hidden
        found = stretch(self._data, self._at, taken.next, last_stable, max_bytes, all_visible)
        if not found.size_bytes:
            return False
        taken.records(found.records)
        taken.stretch(self._data[self._at : self._at + found.size_bytes], found.latest_ms)
        taken.leader_epoch = found.leader_epoch
        self._passed(found.size_bytes, found.next_offset)
        return True

    def _give_one(self, taken: _Taken, header: BatchHeader, batch: memoryview) -> None:
        self._aborted.advance(header, batch, self._limits)
        try:
            if header.next_offset > taken.next:
                _take(taken, header, batch, self._aborted, self._limits)
        finally:  # where it is damaged, what lies before the damage leaves
            if taken.next > header.base_offset:
                taken.leader_epoch = header.leader_epoch
        self._passed(len(batch), header.next_offset)


def _take(taken: _Taken, header: BatchHeader, batch: memoryview, aborted: _Aborted, limits: Limits) -> None:
    taken.gap(header.base_offset, GapReason.COMPACTED)
    if header.records_count == 0:
        taken.gap(header.next_offset, GapReason.COMPACTED)
    elif header.attributes & CONTROL_BIT:
        taken.gap(header.next_offset, GapReason.MARKER)
    elif aborted.hides(header):
        taken.gap(header.next_offset, GapReason.ABORTED)
    elif taken.next == header.base_offset and header.is_dense and not header.attributes & APPEND_TIME_BIT:
        _check_crc(header, batch)
        taken.records(header.records_count)
        taken.batch(batch, header.max_timestamp_ms)
    else:
        _take_decoded(taken, header, batch, limits)


def _take_decoded(taken: _Taken, header: BatchHeader, batch: memoryview, limits: Limits) -> None:
    lowest = taken.next - header.base_offset
    wanted = (record for record in _decoded(header, batch, limits) if record.offset_delta >= lowest)
    for piece in pieces(wanted, size_of):
        _take_records(taken, header, piece)
    taken.gap(header.next_offset, GapReason.COMPACTED)


def _take_records(taken: _Taken, header: BatchHeader, records: list[Record]) -> None:
    for first, end in _runs(records):
        taken.gap(header.base_offset + first, GapReason.COMPACTED)
        taken.records(end - first)
    if header.is_log_append_time:
        records = [record._replace(timestamp_ms=header.max_timestamp_ms) for record in records]
    latest_ms = max(record.timestamp_ms for record in records)
    taken.batch(_of_epoch(header.leader_epoch, encode(records, codec=header.codec)), latest_ms)


def _of_epoch(epoch: int, batch: bytes) -> bytes:
    """The batch as of the leader epoch of the one it was made from: no CRC covers it."""
    return batch[:LENGTH_END] + epoch.to_bytes(4, "big", signed=True) + batch[MAGIC_AT:]


def _runs(records: list[Record]) -> Iterator[tuple[int, int]]:
    """The stretches of offset deltas that have records, without their ends."""
    first = end = -1
    for record in records:
        if record.offset_delta != end:
            if end >= 0:
                yield first, end
            first = record.offset_delta
        end = record.offset_delta + 1
    if end >= 0:
        yield first, end


def _decoded(header: BatchHeader, batch: memoryview, limits: Limits) -> Iterator[Record]:
    _check_crc(header, batch)
    try:
        yield from records_of(header, batch[HEADER_BYTES:], limits)
    except PeerError as error:  # the parsers speak of a partner's bytes; these are our own log's
        raise LogUnreadable(header.base_offset, str(error)) from error


def _check_crc(header: BatchHeader, batch: memoryview) -> None:
    if header.crc != (computed := crc32c(batch[CRC_START:])):
        raise LogUnreadable(
            header.base_offset, f"a batch has CRC {computed:#010x}, its header states {header.crc:#010x}"
        )


def _is_abort(header: BatchHeader, batch: memoryview, limits: Limits) -> bool:
    return any((record.key or b"")[:4] == _ABORT_KEY for record in _decoded(header, batch, limits))
