"""Questions to the tables, asked inside a read transaction: where a partition lies and which batches hold what.

Nothing here reads a body except `read_batches` and `offset_at`; the index answers all else.
"""

from __future__ import annotations

from typing import NamedTuple

import apsw

from mesh.batch.stamp import Buffer
from mesh.cluster_errors import OffsetOutOfRange, PartitionAbsent, TopicAbsent, TopicRecreated
from mesh.ids import Partition, TopicId
from mesh.log import LogRange, OwnBatch


class Place(NamedTuple):
    """A partition as one transaction sees it."""

    partition: Partition
    topic_id: TopicId
    leader_epoch: int
    log: int
    start: int
    end: int

    @property
    def range(self) -> LogRange:
        return LogRange(self.start, self.end, self.end)


def find(db: apsw.Connection, partition: Partition) -> Place:
    """Raises TopicAbsent, PartitionAbsent."""
    topic = db.execute(
        "SELECT topic_id, partitions, leader_epoch FROM topics WHERE name = ?", (partition.topic,)
    ).fetchone()
    if topic is None:
        raise TopicAbsent(partition.topic)
    topic_id, partitions, leader_epoch = topic
    log = db.execute(
        "SELECT log, log_start, log_end FROM partitions WHERE topic_id = ? AND number = ?", (topic_id, partition.number)
    ).fetchone()
    if log is None:
        raise PartitionAbsent(partition.topic, partition.number, partitions)
    return Place(partition, TopicId(topic_id), leader_epoch, *log)


def check_fetch(place: Place, offset: int, topic_id: TopicId | None) -> None:
    """Raises TopicRecreated, OffsetOutOfRange."""
    topic, number = place.partition
    if topic_id is not None and topic_id != place.topic_id:
        raise TopicRecreated(topic, topic_id, place.topic_id)
    if not place.start <= offset <= place.end:
        raise OffsetOutOfRange(topic, number, offset, place.start, place.end)


def read_batches(db: apsw.Connection, log: int, offset: int, max_bytes: int) -> Buffer:
    """Whole batches from the one that holds `offset` on: at least one if there is any, no more than `max_bytes`."""
    first = _batch_at(db, log, offset)
    last, size_bytes = first, 0
    sizes = "SELECT base_offset, size FROM batches WHERE log = ? AND base_offset >= ? ORDER BY base_offset"
    for base_offset, size in db.execute(sizes, (log, first)):
        size_bytes += size
        if size_bytes > max_bytes and base_offset != first:
            break
        last = base_offset
    bodies = db.execute(
        "SELECT body FROM batches WHERE log = ? AND base_offset BETWEEN ? AND ? ORDER BY base_offset",
        (log, first, last),
    )
    found = [body for (body,) in bodies]
    return found[0] if len(found) == 1 else b"".join(found)


def batches_from_time(db: apsw.Connection, log: int, timestamp_ms: int, from_offset: int) -> tuple[int, bytes] | None:
    """The next offset and the body of the first batch from `from_offset` on that claims so late a record."""
    row = db.execute(
        "SELECT base_offset, last_offset FROM batches INDEXED BY batch_at"
        " WHERE log = ? AND base_offset >= ? AND max_timestamp >= ? ORDER BY base_offset LIMIT 1",
        (log, from_offset, timestamp_ms),
    ).fetchone()
    if row is None:
        return None
    base_offset, last_offset = row
    body = db.execute("SELECT body FROM batches WHERE log = ? AND base_offset = ?", (log, base_offset)).get
    return last_offset + 1, body


def own_batches(db: apsw.Connection, log: int, producer_id: int, from_offset: int) -> tuple[tuple[OwnBatch, ...], int]:
    """The producer's batches from `from_offset` on, and how many offsets from there are its own."""
    own: list[OwnBatch] = []
    own_count = 0
    rows = db.execute(
        "SELECT base_offset, last_offset, producer_id, base_sequence FROM batches"
        " WHERE log = ? AND base_offset >= ? ORDER BY base_offset",
        (log, _batch_at(db, log, from_offset)),
    )
    for base_offset, last_offset, writer, base_sequence in rows:
        if writer == producer_id and last_offset >= from_offset:
            own.append(OwnBatch(base_offset, base_sequence, last_offset + 1 - base_offset).beyond(from_offset))
            own_count += own[-1].records
    return tuple(own), own_count


def _batch_at(db: apsw.Connection, log: int, offset: int) -> int:
    """The base offset of the last batch that begins at or before `offset`; `offset` where there is none."""
    found = db.execute(
        "SELECT base_offset FROM batches WHERE log = ? AND base_offset <= ? ORDER BY base_offset DESC LIMIT 1",
        (log, offset),
    ).get
    return offset if found is None else int(found)
