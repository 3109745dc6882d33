"""The source partition as its producers know it: plain lists of what was written where, and what became of it.

Nothing here comes from the code under test but the log in which the batches lie. Each record carries a number, and
numbers rise with offsets; so a copy is in order and without doubles where its numbers rise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.batch.header import APPEND_TIME_BIT, CONTROL_BIT, TRANSACTIONAL_BIT
from mesh.batch.records import Record
from mesh.ids import Partition, TopicName
from mesh.log import AbortedTransaction
from mesh.spans import GapReason
from mesh.testing.cluster import FakeCluster
from tests.support.records import TIMESTAMP_MS, batch_of, batch_with_holes, body, framed

SOURCE = TopicName("departures")
FROM = Partition(SOURCE, 0)
COMMIT, ABORT = 1, 0


class Content(NamedTuple):
    """What a reader sees of a record beside its offset."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


@dataclass(eq=False)
class Transaction:
    producer_id: int
    first: int
    marker: int = -1
    kind: int = -1
    numbers: list[int] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.marker < 0


@dataclass(eq=False)
class Held:
    """One offset of the present history."""

    number: int
    """Of the record there, -1: none."""
    reason: GapReason = GapReason.COMPACTED
    """Why there is none."""
    transaction: Transaction | None = None

    @property
    def is_visible(self) -> bool:
        return self.number >= 0 and (self.transaction is None or self.transaction.kind == COMMIT)

    @property
    def gap(self) -> GapReason:
        return GapReason.ABORTED if self.number >= 0 else self.reason


class Truth:
    def __init__(self, cluster: FakeCluster, partition: Partition = FROM) -> None:
        self._cluster = cluster
        self.partition = partition
        self.prefix = b"record-" if partition == FROM else b"of-%d-record-" % partition.number
        """What the values of its records begin with, and those of no other partition."""
        self.held: list[Held] = []
        """By offset, of the present history of the present incarnation."""
        self.contents: list[Content] = []
        """By number."""
        self.written: list[tuple[int, Transaction | None]] = []
        """By number: at which offset, and in which transaction."""
        self.ever_visible: set[int] = set()
        self.transactions: list[Transaction] = []
        self.trims = self.truncations = self.incarnations = 0
        self.agreed = 1 << 62
        """The least offset at which history was replaced."""
        self._producers = 0
        self._ends: list[int] = []
        """Where each batch of the present history ends."""

    @property
    def end(self) -> int:
        return len(self.held)

    @property
    def start(self) -> int:
        return self._cluster.log(self.partition).start

    @property
    def last_stable(self) -> int:
        return min((each.first for each in self.transactions if each.is_open), default=self.end)

    @property
    def readable_end(self) -> int:
        """Where a reader of what is committed comes to stand."""
        return self._cluster.log(self.partition).range.last_stable

    # What producers and time do.

    def write(self, count: int) -> None:
        self._batch(list(range(count)), count, None)

    def write_compacted(self, count: int) -> None:
        """A batch of which compaction left every second record."""
        self._batch(list(range(0, 2 * count, 2)), 2 * count, None)

    def write_stamped(self, count: int) -> None:
        """A batch whose records have the time of its append, whatever stands in them."""
        self._batch(list(range(count)), count, None, stamped=True)

    def skip(self, count: int) -> None:
        """Offsets that compaction left nothing of; something must follow for a log to show them."""
        self.held += [Held(-1) for _ in range(count)]
        self.write(1)

    def write_empty(self) -> None:
        """A batch that compaction emptied."""
        data = batch_of(b"", 0, base_offset=self.end, last_offset_delta=1)
        self.held += [Held(-1), Held(-1)]
        self._put(data, len(self.held) - 2)

    def begin(self, count: int) -> None:
        """A transaction is begun and stays open."""
        self._producers += 1
        transaction = Transaction(self._producers, self.end)
        self.transactions.append(transaction)
        self._batch(list(range(count)), count, transaction)

    def go_on(self, count: int) -> None:
        """Records of the open transaction that is oldest."""
        transaction = next((each for each in self.transactions if each.is_open), None)
        self._batch(list(range(count)), count, transaction)

    def finish(self, index: int, kind: int) -> None:
        """One of the open transactions ends."""
        still = [each for each in self.transactions if each.is_open]
        if not still:
            return
        transaction = still[index % len(still)]
        base = self.end
        record = Record(0, TIMESTAMP_MS, b"\0\0\0" + bytes([kind]), bytes(6))
        bits = CONTROL_BIT | TRANSACTIONAL_BIT
        producer = transaction.producer_id
        data = batch_of(framed(body(record)), 1, attributes=bits, base_offset=base, producer_id=producer)
        self.held.append(Held(-1, GapReason.MARKER))
        transaction.marker, transaction.kind = base, kind
        if kind == COMMIT:
            self.ever_visible.update(transaction.numbers)
        self._put(data, base)

    def trim(self, batches: int) -> bool:
        """Retention takes what is oldest, never what is not decided yet."""
        log = self._cluster.log(self.partition)
        ends = [end for end in self._ends if log.start < end <= self.last_stable][:batches]
        if not ends:
            return False
        self.trims += 1
        self._cluster.delete_before(self.partition, ends[-1])
        return True

    def truncate(self, batches: int) -> bool:
        """An unclean election: the last batches are gone. Not where it would open a transaction again."""
        log = self._cluster.log(self.partition)
        ends = [end for end in [log.start, *self._ends] if log.start <= end < self.end and self._is_between(end)]
        if not ends:
            return False
        end = ends[-min(batches, len(ends))]
        self.truncations += 1
        self.agreed = min(self.agreed, end)
        self._cluster.truncate(self.partition, end)
        self._ends = [each for each in self._ends if each <= end]
        del self.held[end:]
        self.transactions = [each for each in self.transactions if each.first < end]
        self._stable()
        return True

    def recreated(self) -> None:
        """The topic was deleted and created again."""
        self.incarnations += 1
        self.agreed = 0
        self._ends, self.held, self.transactions = [], [], []
        self._stable()

    def elect(self) -> None:
        """Another leader, and nothing lost."""
        self._cluster.log(self.partition).elect()
        self._cluster.wake()

    def is_inside(self, offset: int) -> bool:
        """Whether a transaction that was aborted or is open began before the offset and does not end before it."""
        around = [each for each in self.transactions if each.first < offset and (each.is_open or each.marker >= offset)]
        return any(each.kind != COMMIT for each in around)

    def aborted(self, first: int, end: int) -> tuple[AbortedTransaction, ...]:
        """As a broker's index tells: those whose marker lies at or after `first`, in the order of the markers."""
        found = [each for each in self.transactions if each.kind == ABORT and each.marker >= first and each.first < end]
        found.sort(key=lambda each: each.marker)
        return tuple(AbortedTransaction(each.producer_id, each.first) for each in found)

    # Helpers

    def _is_between(self, end: int) -> bool:
        return not any(each.first < end and (each.is_open or each.marker >= end) for each in self.transactions)

    def _batch(
        self, deltas: Sequence[int], extent: int, transaction: Transaction | None, *, stamped: bool = False
    ) -> None:
        base = self.end
        records = []
        appended_ms = TIMESTAMP_MS + 1_000_000 + len(self.contents)
        self.held += [Held(-1) for _ in range(extent)]
        for delta in deltas:
            number = len(self.contents)
            content = _content(number, self.prefix)
            self.contents.append(content._replace(timestamp_ms=appended_ms) if stamped else content)
            self.written.append((base + delta, transaction))
            self.held[base + delta] = Held(number, transaction=transaction)
            records.append(Record(delta, content.timestamp_ms, content.key, content.value, content.headers))
            if transaction is None:
                self.ever_visible.add(number)
            else:
                transaction.numbers.append(number)
        data = batch_with_holes(
            records,
            base_offset=base,
            last_offset_delta=extent - 1,
            attributes=(TRANSACTIONAL_BIT if transaction else 0) | (APPEND_TIME_BIT if stamped else 0),
            producer_id=transaction.producer_id if transaction else -1,
            max_timestamp_ms=appended_ms if stamped else records[-1].timestamp_ms,
        )
        self._put(data, base)

    def _put(self, data: bytes, base: int) -> None:
        self._ends.append(self.end)
        log = self._cluster.log(self.partition)
        log.put_raw(data, base)
        self._stable()

    def _stable(self) -> None:
        stable = self.last_stable
        self._cluster.set_last_stable(self.partition, stable if stable < self.end else None)


def _content(number: int, prefix: bytes) -> Content:
    """Null, empty and repeated parts come by, and headers in no order of their names."""
    key = [b"k%d" % number, None, b""][number % 3]
    headers = (("h", None), ("h", b"%d" % number), ("a", b"")) if number % 4 == 1 else ()
    return Content(key, prefix + b"%d" % number, headers, TIMESTAMP_MS + number)
