"""A source partition for tests: batches of every kind, with a plain account of what a reader must see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from mesh.batch.header import APPEND_TIME_BIT, CONTROL_BIT, TRANSACTIONAL_BIT, Codec
from mesh.batch.records import Record
from mesh.log import AbortedTransaction, Fetched, LogRange
from mesh.spans import GapReason
from tests.support.records import TIMESTAMP_MS, batch_of, batch_with_holes, body, framed

COMMIT, ABORT = 1, 0
_EMPTY_EXTENT = 2


@dataclass(frozen=True)
class Stored:
    base_offset: int
    next_offset: int
    data: bytes
    is_plain: bool
    """Whether it may leave as it is."""


@dataclass
class SourceLog:
    """Written step by step; `answer` then gives what a broker would."""

    end: int = 0
    batches: list[Stored] = field(default_factory=list)
    visible: dict[int, Record] = field(default_factory=dict)
    gaps: dict[int, GapReason] = field(default_factory=dict)
    _open: dict[int, int] = field(default_factory=dict)
    _aborted: list[tuple[AbortedTransaction, int]] = field(default_factory=list)
    _extents: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def last_stable(self) -> int:
        return min(self._open.values(), default=self.end)

    def skip(self, offsets: int) -> None:
        """Offsets whose batches compaction removed."""
        self._gap(self.end, self.end + offsets, GapReason.COMPACTED)
        self.end += offsets

    def append(
        self,
        deltas: list[int],
        extent: int,
        *,
        codec: int = 0,
        producer_id: int = -1,
        append_time: bool = False,
        stamps: Sequence[int] = (),
    ) -> None:
        """Records at `deltas` of a batch that spans `extent` offsets; transactional if there is a producer.

        `stamps` are their timestamps, of which there are some where not given.
        """
        base, latest = self.end, TIMESTAMP_MS + 5000 + self.end
        times = stamps or [TIMESTAMP_MS + base - delta for delta in deltas]
        records = [
            Record(delta, stamp, b"%d" % (base + delta), b"v" * delta, (("h", None),) * (delta % 2))
            for delta, stamp in zip(deltas, times, strict=True)
        ]
        if append_time:
            seen = [record._replace(timestamp_ms=latest) for record in records]
        else:
            seen, latest = records, max((record.timestamp_ms for record in records), default=-1)
        attributes = (TRANSACTIONAL_BIT if producer_id >= 0 else 0) | (APPEND_TIME_BIT if append_time else 0)
        data = batch_with_holes(
            records,
            codec=codec,
            attributes=attributes,
            base_offset=base,
            last_offset_delta=extent - 1,
            max_timestamp_ms=latest,
            producer_id=producer_id,
        )
        self._gap(base, base + extent, GapReason.COMPACTED)
        self.visible.update((base + record.offset_delta, record) for record in seen)
        if producer_id >= 0:
            self._open.setdefault(producer_id, base)
            if records:
                self._extents.append((producer_id, base, base + extent))
        self._store(extent, data, len(deltas) == extent and not append_time)

    def empty(self, attributes: int = 0, codec: int = 0) -> None:
        self._gap(self.end, self.end + _EMPTY_EXTENT, GapReason.COMPACTED)
        batch = batch_of(
            b"", 0, attributes=attributes | codec, base_offset=self.end, last_offset_delta=_EMPTY_EXTENT - 1
        )
        self._store(_EMPTY_EXTENT, batch, False)

    def mark(self, producer_id: int, kind: int) -> None:
        """The end of a transaction."""
        record = Record(0, TIMESTAMP_MS, b"\0\0\0" + bytes([kind]), bytes(6))
        attributes = CONTROL_BIT | TRANSACTIONAL_BIT
        data = batch_of(framed(body(record)), 1, attributes=attributes, base_offset=self.end, producer_id=producer_id)
        self._gap(self.end, self.end + 1, GapReason.MARKER)
        first = self._open.pop(producer_id, None)
        if first is not None and kind == ABORT:
            self._aborted.append((AbortedTransaction(producer_id, first), self.end))
            for owner, base, end in self._extents:
                if owner == producer_id and base >= first:
                    self._gap(base, end, GapReason.ABORTED)
        self._store(1, data, False)

    def answer(self, index: int, cut_bytes: int = 0) -> Fetched:
        """A fetch whose data begins with batch `index`; `cut_bytes` are missing at the end."""
        data = b"".join(batch.data for batch in self.batches[index:])
        data = data[: len(data) - cut_bytes]
        start = self.batches[index].base_offset if self.batches[index:] else self.end
        aborted = tuple(one for one, marker in reversed(self._aborted) if marker >= start)
        return Fetched(memoryview(data), aborted, LogRange(0, self.end, self.last_stable))

    def _gap(self, first: int, end: int, reason: GapReason) -> None:
        for offset in range(first, end):
            self.gaps[offset] = reason
            self.visible.pop(offset, None)

    def _store(self, extent: int, data: bytes, is_plain: bool) -> None:
        self.batches.append(Stored(self.end, self.end + extent, data, is_plain))
        self.end += extent


@st.composite
def source_logs(draw: st.DrawFn) -> SourceLog:
    log = SourceLog()
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(
            st.sampled_from(["plain", "plain", "holes", "late", "transaction", "transaction", "mark", "empty", "skip"])
        )
        producer, codec = draw(st.integers(0, 2)), draw(st.sampled_from(list(Codec)))
        extent = draw(st.integers(1, 6))
        if kind == "mark":
            log.mark(producer, draw(st.sampled_from([COMMIT, ABORT])))
        elif kind == "empty":
            log.empty(
                draw(st.sampled_from([0, APPEND_TIME_BIT, TRANSACTIONAL_BIT, CONTROL_BIT | TRANSACTIONAL_BIT])), codec
            )
        elif kind == "skip":
            log.skip(extent)
        else:
            holes = kind == "holes" or (kind == "transaction" and draw(st.booleans()))
            kept = st.lists(st.integers(0, extent - 1), min_size=1, unique=True).map(sorted)
            deltas = draw(kept) if holes else list(range(extent))
            owner = producer if kind == "transaction" else -1
            log.append(deltas, extent, codec=codec, producer_id=owner, append_time=kind == "late")
    return log
