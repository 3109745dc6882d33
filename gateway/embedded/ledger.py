"""The log as the open transaction sees it: partitions, producers and state, written through at the end of a commit.

Only the writer thread uses it. It keeps what every append needs (log end, producer state, limits), so that an append
costs one insert; ends, producers and state entries are written once per transaction, however many appends there were.
Invariants:
  A. An append is judged completely before its first write: one that is refused leaves nothing.
  B. Whatever was not committed is forgotten: after a rollback `forget` makes the tables the only truth.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import apsw
import crc32c

from gateway.embedded.config import DEFAULT_MAX_BATCH_BYTES
from gateway.embedded.errors import LogDamaged
from mesh.batch.errors import BatchTruncated, OldFormat
from mesh.batch.header import CRC_START, HEADER_BYTES, BatchHeader, parse_header
from mesh.batch.stamp import StampedBatch
from mesh.cluster_errors import BatchRefused, PartitionAbsent, ProducerFenced, SequenceRefused, TopicAbsent
from mesh.ids import Partition
from mesh.sequences import ProducerState, Refusal, Verdict, Written, after, judge

Entries: TypeAlias = Mapping[tuple[str, str], bytes | None]
EntriesOf: TypeAlias = Callable[[int], Entries]

_BASE_OFFSET = struct.Struct(">q")
_LEADER_EPOCH = struct.Struct(">i")
_WRITTEN = struct.Struct(">iiq")

_INSERT_BATCH = (
    "INSERT INTO batches (log, base_offset, last_offset, max_timestamp, size, producer_id, base_sequence, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_PUT_PRODUCER = "INSERT OR REPLACE INTO producers (log, producer_id, epoch, recent) VALUES (?, ?, ?, ?)"
_PUT_STATE = "INSERT OR REPLACE INTO state (kind, key, value) VALUES (?, ?, ?)"


@dataclass(slots=True)
class _Log:
    """One partition. `producers` is filled as producers appear; those in `dirty` await the commit."""

    log: int
    leader_epoch: int
    max_batch_bytes: int
    end: int
    producers: dict[int, ProducerState | None] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)


class Ledger:
    def __init__(self, db: apsw.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._logs: dict[Partition, _Log] = {}
        self._unwritten: dict[Partition, _Log] = {}
        self._grown: set[Partition] = set()
        self._state: dict[tuple[str, str], bytes | None] = {}

    def append(self, partition: Partition, batch: StampedBatch, entries: EntriesOf) -> int:
        """The base offset of the batch: a new one, or that of the batch which it repeats.

        `entries` of that offset become part of the transaction; if it raises, nothing does.
        """
        log = self._log(partition)
        header = _checked(partition, batch, log.max_batch_bytes)
        known = self._producer(log, header.producer_id)
        verdict = judge(known, header.producer_epoch, header.base_sequence, header.records_count)
        _raise_refusal(partition, header, verdict)
        base_offset = verdict.base_offset if isinstance(verdict, Written) else log.end
        state = entries(base_offset)
        if verdict is None:
            self._write(log, batch, header, known)
            self._unwritten[partition] = log
        self.remember(state)
        return base_offset

    def remember(self, entries: Entries) -> None:
        """State entries of this transaction, by kind and key; the last value of a key counts."""
        self._state.update(entries)

    def flush(self) -> None:
        """Write what the transaction still owes."""
        self._flush_state()
        for log in self._unwritten.values():
            self._db.execute("UPDATE partitions SET log_end = ? WHERE log = ?", (log.end, log.log))
            self._db.executemany(_PUT_PRODUCER, [_producer_row(log, producer_id) for producer_id in log.dirty])
            log.dirty.clear()
        self._grown.update(self._unwritten)
        self._unwritten.clear()

    def forget(self) -> None:
        """Trust nothing but the tables from here on."""
        self._logs.clear()
        self._unwritten.clear()
        self._state.clear()

    def take_grown(self) -> Collection[Partition]:
        """The partitions flushed since the last call."""
        grown, self._grown = self._grown, set()
        return grown

    def _write(self, log: _Log, batch: StampedBatch, header: BatchHeader, known: ProducerState | None) -> None:
        base_offset = log.end
        last_offset = base_offset + header.records_count - 1
        body = _placed(batch, base_offset, log.leader_epoch)
        row = (log.log, base_offset, last_offset, header.max_timestamp_ms, len(body))
        self._db.execute(_INSERT_BATCH, (*row, header.producer_id, header.base_sequence, body))
        log.end = last_offset + 1
        if header.producer_id >= 0:
            written = Written(header.base_sequence, header.records_count, base_offset)
            log.producers[header.producer_id] = after(known, header.producer_epoch, written)
            log.dirty.add(header.producer_id)

    def _log(self, partition: Partition) -> _Log:
        log = self._logs.get(partition)
        if log is None:
            log = self._logs[partition] = self._load(partition)
        return log

    def _load(self, partition: Partition) -> _Log:
        topic = self._db.execute(
            "SELECT topic_id, partitions, leader_epoch, config FROM topics WHERE name = ?", (partition.topic,)
        ).fetchone()
        if topic is None:
            raise TopicAbsent(partition.topic)
        topic_id, partitions, leader_epoch, config = topic
        if not 0 <= partition.number < partitions:
            raise PartitionAbsent(partition.topic, partition.number, partitions)
        log, end = self._db.execute(
            "SELECT log, log_end FROM partitions WHERE topic_id = ? AND number = ?", (topic_id, partition.number)
        ).get
        max_batch_bytes = int(json.loads(config).get("max.message.bytes", DEFAULT_MAX_BATCH_BYTES))
        return _Log(log, leader_epoch, max_batch_bytes, end)

    def _producer(self, log: _Log, producer_id: int) -> ProducerState | None:
        if producer_id < 0:
            return None
        if producer_id not in log.producers:
            row = self._db.execute(
                "SELECT epoch, recent FROM producers WHERE log = ? AND producer_id = ?", (log.log, producer_id)
            ).fetchone()
            log.producers[producer_id] = None if row is None else unpack_producer(self._path, *row)
        return log.producers[producer_id]

    def _flush_state(self) -> None:
        kept = [(kind, key, value) for (kind, key), value in self._state.items() if value is not None]
        removed = [place for place, value in self._state.items() if value is None]
        self._db.executemany(_PUT_STATE, kept)
        self._db.executemany("DELETE FROM state WHERE kind = ? AND key = ?", removed)
        self._state.clear()


def unpack_producer(path: Path, epoch: int, recent: bytes) -> ProducerState:
    if len(recent) % _WRITTEN.size:
        raise LogDamaged(str(path), "a producer's state has a wrong length")
    return ProducerState(epoch, tuple(Written._make(fields) for fields in _WRITTEN.iter_unpack(recent)))


def _producer_row(log: _Log, producer_id: int) -> tuple[int, int, int, bytes]:
    state = log.producers[producer_id]
    assert state is not None, "only producers that wrote are dirty"
    return log.log, producer_id, state.epoch, b"".join(_WRITTEN.pack(*written) for written in state.recent)


def _placed(batch: StampedBatch, base_offset: int, leader_epoch: int) -> bytes:
    """The batch with its place in the log: neither field is under the CRC."""
    header = batch.header
    place = (_BASE_OFFSET.pack(base_offset), header[8:12], _LEADER_EPOCH.pack(leader_epoch), header[16:])
    return b"".join((*place, batch.payload))


def _checked(partition: Partition, batch: StampedBatch, max_batch_bytes: int) -> BatchHeader:
    try:
        header = parse_header(batch.header)
    except (BatchTruncated, OldFormat) as error:
        raise BatchRefused(partition.topic, partition.number, str(error)) from error
    why = _fault(batch, header, max_batch_bytes)
    if why is not None:
        raise BatchRefused(partition.topic, partition.number, why)
    return header


def _fault(batch: StampedBatch, header: BatchHeader, max_batch_bytes: int) -> str | None:
    """What a Kafka leader would also refuse, except its rules about clocks."""
    if batch.size_bytes > max_batch_bytes:
        return f"its {batch.size_bytes} bytes are over max.message.bytes = {max_batch_bytes}"
    if len(batch.header) != HEADER_BYTES or header.size_bytes != batch.size_bytes:
        return "its length is not what its header states"
    if header.records_count < 1 or not header.is_dense or header.is_control:
        return "its offsets are not dense, or it is a control batch"
    if header.producer_id >= 0 and (header.producer_epoch < 0 or header.base_sequence < 0):
        return "it names a producer, but no epoch or no sequence"
    if crc32c.crc32c(batch.payload, crc32c.crc32c(batch.header[CRC_START:])) != header.crc:
        return "its checksum does not fit its content"
    return None


def _raise_refusal(partition: Partition, header: BatchHeader, verdict: Verdict) -> None:
    if verdict is Refusal.FENCED:
        raise ProducerFenced(partition.topic, partition.number, header.producer_id)
    if verdict is Refusal.OUT_OF_LINE:
        raise SequenceRefused(partition.topic, partition.number, header.base_sequence)
