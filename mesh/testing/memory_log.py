"""One partition in memory, by the rules of a Kafka leader: what the fake cluster is made of.

Pure: it neither waits nor knows who asks. Batches are stored as they came, with base offset and leader epoch stamped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.batch.header import HEADER_BYTES, BatchHeader, Codec, parse_header
from mesh.batch.records import records_of
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import (
    AppendUnknown,
    BatchRefused,
    LogTruncated,
    OffsetOutOfRange,
    ProducerFenced,
    SequenceRefused,
    TimestampRefused,
)
from mesh.ids import Partition
from mesh.log import AbortedTransaction, Fetched, LogRange, OwnBatch, Witnesses
from mesh.sequences import ProducerState, Refusal, Written, after, judge


class _Entry(NamedTuple):
    header: BatchHeader
    data: bytes


@dataclass
class MemoryLog:
    partition: Partition
    leader_epoch: int
    max_batch_bytes: int
    start: int = 0
    end: int = 0
    takes: Callable[[int], str] = lambda timestamp_ms: ""
    """Why the log refuses a record of this timestamp now, empty where it takes it; one without is never asked about."""
    needs_keys: bool = False
    codec: str = ""
    """The codec in which batches are kept, if it is one: brokers fail at what they cannot build anew."""
    stable_limit: int | None = None
    """Where read_committed ends while a transaction is open; None: at the end."""
    aborted: tuple[AbortedTransaction, ...] = ()
    producers: dict[int, ProducerState] = field(default_factory=dict)
    _entries: list[_Entry] = field(default_factory=list)
    _epoch_starts: dict[int, int] = field(default_factory=dict)
    """Where a leader's epoch began that was elected while we knew of it: its first batch may be compacted away."""

    @property
    def size_bytes(self) -> int:
        return sum(len(entry.data) for entry in self._entries)

    @property
    def range(self) -> LogRange:
        return LogRange(self.start, self.end, self.end if self.stable_limit is None else self.stable_limit)

    def append(self, batch: StampedBatch) -> int:
        """The base offset. Raises BatchRefused, SequenceRefused, ProducerFenced, having written nothing."""
        data = batch.header + bytes(batch.payload)
        header = parse_header(data)
        if len(data) > self.max_batch_bytes:
            raise BatchRefused(*self.partition, f"its {len(data)} bytes are over max.message.bytes")
        if header.size_bytes != len(data) or not header.is_dense or header.records_count < 1:
            raise BatchRefused(*self.partition, "its offsets are not dense")
        known = self.producers.get(header.producer_id)
        verdict = judge(known, header.producer_epoch, header.base_sequence, header.records_count)
        if isinstance(verdict, Written):
            return verdict.base_offset
        if verdict is Refusal.FENCED:
            raise ProducerFenced(*self.partition, header.producer_id)
        if verdict is Refusal.OUT_OF_LINE:
            raise SequenceRefused(*self.partition, header.base_sequence)
        self._judge_records(header, data)
        if header.producer_id >= 0:
            written = Written(header.base_sequence, header.records_count, self.end)
            self.producers[header.producer_id] = after(known, header.producer_epoch, written)
        return self.put_raw(data, self.end)

    def _judge_records(self, header: BatchHeader, data: bytes) -> None:
        for index, record in enumerate(records_of(header, memoryview(data)[HEADER_BYTES:])):
            if self.needs_keys and record.key is None:
                raise BatchRefused(*self.partition, f"record {index} has no key, and the topic is compacted")
            if record.timestamp_ms < -1 and self.codec not in {"", str(Codec(header.codec))}:
                raise AppendUnknown(*self.partition, "the broker answered error -1 (UNKNOWN_SERVER_ERROR)")
            if record.timestamp_ms != -1 and (why := self.takes(record.timestamp_ms)):
                raise TimestampRefused(*self.partition, f"timestamp {record.timestamp_ms} of record {index}: {why}")

    def put_raw(self, data: bytes, base_offset: int) -> int:
        """Store a batch as a source may hold it: holes before and in it, control records, any producer."""
        assert base_offset >= self.end, f"offset {base_offset} is already taken: the log ends at {self.end}"
        placed = base_offset.to_bytes(8, "big") + data[8:12] + self.leader_epoch.to_bytes(4, "big") + data[16:]
        header = parse_header(placed)
        assert header.size_bytes == len(data), "put one whole batch at a time"
        self._entries.append(_Entry(header, placed))
        self.end = header.next_offset
        return base_offset

    def fetch(self, offset: int, max_bytes: int, last_epoch: int = -1) -> Fetched:
        """Whole committed batches from the one that holds `offset` on. Raises OffsetOutOfRange, LogTruncated."""
        if last_epoch >= 0:
            self._check_history(offset, last_epoch)
        if not self.start <= offset <= self.end:
            raise OffsetOutOfRange(*self.partition, offset, self.start, self.end)
        found: list[bytes] = []
        size_bytes = 0
        for header, data in self._entries[self._index_of(offset) :]:
            size_bytes += len(data)
            if header.base_offset >= self.range.last_stable or (found and size_bytes > max_bytes):
                break
            found.append(data)
        aborted = self.aborted if found else ()
        return Fetched(memoryview(b"".join(found)), aborted, self.range, self.leader_epoch)

    def _check_history(self, offset: int, last_epoch: int) -> None:
        """As a leader answers a reader who says what it read last (KIP-320)."""
        if last_epoch > self.leader_epoch:
            return  # it knows nothing of that epoch
        starts = {self.leader_epoch: self.end}
        starts |= {entry.header.leader_epoch: entry.header.base_offset for entry in reversed(self._entries)}
        starts |= self._epoch_starts
        epoch = max((each for each in starts if each <= last_epoch), default=last_epoch)
        end = min((start for each, start in starts.items() if each > epoch), default=self.end)
        if epoch < last_epoch or end < offset:
            raise LogTruncated(*self.partition, offset, end, self.start, self.end, epoch)

    def offset_at(self, timestamp_ms: int) -> int | None:
        for header, data in self._entries:
            if header.max_timestamp_ms < timestamp_ms:
                continue
            for record in records_of(header, memoryview(data)[HEADER_BYTES:]):
                if record.timestamp_ms >= timestamp_ms:
                    return header.base_offset + record.offset_delta
        return None

    def witness(self, producer: Producer, from_offset: int) -> Witnesses:
        first = max(from_offset, self.start)
        entries = [header for header, _ in self._entries[self._index_of(first) :]]
        # Under another epoch it was another lane.
        own = [header for header in entries if (header.producer_id, header.producer_epoch) == producer]
        own_count = sum(header.next_offset - max(header.base_offset, first) for header in own)
        state = self.producers.get(producer.id)
        return Witnesses(
            self.range,
            state.last_sequence if state and state.epoch == producer.epoch else None,
            tuple(OwnBatch(h.base_offset, h.base_sequence, h.records_count).beyond(first) for h in own),
            max(0, self.end - first) - own_count,
        )

    def cut(self, producer: Producer) -> None:
        """Know the producer at this epoch, before it has written anything under it."""
        self.producers[producer.id] = ProducerState(producer.epoch, ())

    def delete_before(self, offset: int) -> None:
        """As retention does: whole batches go."""
        assert offset <= self.end
        self._entries = self._entries[self._index_of(offset) :]
        self.start = max(self.start, offset)

    def truncate(self, end: int) -> None:
        """As an unclean leader election does; producer state stays as a surprise."""
        self._entries = [entry for entry in self._entries if entry.header.next_offset <= end]
        self.end = end
        self._epoch_starts = {epoch: start for epoch, start in self._epoch_starts.items() if start < end}
        self.elect()

    def elect(self) -> None:
        """Another leader, who begins where the log ends."""
        self.leader_epoch += 1
        self._epoch_starts[self.leader_epoch] = self.end

    def _index_of(self, offset: int) -> int:
        """Of the first batch that ends above `offset`."""
        return bisect_left(self._entries, offset + 1, key=lambda entry: entry.header.next_offset)
