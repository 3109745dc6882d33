"""From a fetch answer to what leaves: which records are visible, as dense batches, and why the others are not.

A batch that is dense, not control and of CreateTime leaves with its bytes untouched, as a view of the answer. Any
other that holds visible records is decoded and encoded densely; messages of old formats become batches. Invariants:
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
from mesh.batch.errors import LogUnreadable
from mesh.batch.header import (
    APPEND_TIME_BIT,
    CONTROL_BIT,
    CRC_START,
    HEADER_BYTES,
    LENGTH_END,
    MAGIC_AT,
    BatchHeader,
)
from mesh.batch.limits import DEFAULT_LIMITS, Limits
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
    """The segment from source offset `position` on, None where the answer reaches no further than that.

    It stops before the batch that would pass `max_bytes` (as it lies in the log), but takes at least one if there
    is one. `ordinal` is the first record's. Raises LogUnreadable (a length, CRC, order or record that
    cannot be), but only once `position` has reached the damage: what lies before it leaves first.
    """
    taken = _Taken(position)
    try:
        _fill(taken, fetched, max_bytes, limits)
    except LogUnreadable:
        if taken.next == position:
            raise
    if taken.next == position:
        return None
    return Segment(position, taken.next, ordinal, merge(taken.spans), tuple(taken.batches), taken.latest_ms)


class _Aborted:
    """Which producers' transactions end in an abort, as of the batch reached: the read_committed algorithm."""

    def __init__(self, transactions: tuple[AbortedTransaction, ...]) -> None:
        self._waiting = sorted(transactions, key=lambda one: one.first_offset, reverse=True)
        self._open: set[int] = set()

    def advance(self, header: BatchHeader, batch: memoryview, limits: Limits) -> None:
        waiting = self._waiting
        while waiting and waiting[-1].first_offset <= header.last_offset:
            self._open.add(waiting.pop().producer_id)
        if header.producer_id in self._open and header.is_control and _is_abort(header, batch, limits):
            self._open.discard(header.producer_id)

    def hides(self, header: BatchHeader) -> bool:
        return header.is_transactional and header.producer_id in self._open


class _Taken:
    """What leaves so far."""

    def __init__(self, position: int) -> None:
        self.next = position
        self.spans: list[Span] = []
        self.batches: list[Buffer] = []
        self.size = 0
        self.latest_ms = -1

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


def _fill(taken: _Taken, fetched: Fetched, max_bytes: int, limits: Limits) -> None:
    aborted = _Aborted(fetched.aborted)
    for header, batch in _stable(fetched, limits):
        aborted.advance(header, batch, limits)
        if header.next_offset <= taken.next:
            continue
        if taken.batches and taken.size + len(batch) > max_bytes:
            return
        _take(taken, header, batch, aborted, limits)


def _stable(fetched: Fetched, limits: Limits) -> Iterator[tuple[BatchHeader, memoryview]]:
    """The whole batches below the last stable offset; each begins at or after the end of the one before."""
    expected, last_stable = -1, fetched.range.last_stable
    for header, batch in split_any(fetched.data, limits):
        if header.next_offset > last_stable:
            return
        if header.base_offset < expected:
            raise LogUnreadable(header.base_offset, f"a batch begins below {expected}, the end of the one before")
        expected = header.next_offset
        yield header, batch
    if expected < 0 and fetched.data:
        raise LogUnreadable(fetched.range.start, f"an answer of {len(fetched.data)} bytes holds no whole batch")


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
