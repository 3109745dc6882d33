"""The embedded log as a `Destination`: compare-and-append, with the state of a lane in the same transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import apsw

import gateway.embedded.lookup as lookup
from gateway.embedded.ledger import unpack_producer
from gateway.embedded.readers import Readers
from gateway.embedded.writer import Append, Writer
from mesh.batch.stamp import Producer, StampedBatch
from mesh.ids import Partition
from mesh.log import Witnesses
from mesh.ports import StateOf


class EmbeddedDestination:
    """Implements `mesh.ports.Destination`. `kind` is where the entries of `state` belong."""

    joins_state = True
    max_in_flight = 32
    """While one group of 4 MB is synced, the next one gathers: 256 KB batches need 16 for each."""

    def __init__(self, writer: Writer, readers: Readers, path: Path, kind: str) -> None:
        self._writer = writer
        self._readers = readers
        self._path = path
        self._kind = kind

    async def producer(self, name: str = "") -> Producer:
        return Producer(await self._writer.change(_next_producer_id), 0)

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        """As the port says. `state` is called on the writer thread, inside the transaction: it must only compute."""
        return self._writer.queue(Append(partition, batch, state, self._kind))

    async def witness(self, partition: Partition, producer: Producer, from_offset: int) -> Witnesses:
        """Sees every append queued before the call, answered or not: none can land after it unseen."""

        def query(db: apsw.Connection) -> Witnesses:
            place = lookup.find(db, partition)
            first = max(from_offset, place.start)
            own, own_count = lookup.own_batches(db, place.log, producer.id, first)
            foreign_count = max(0, place.end - first) - own_count
            last_sequence = self._last_sequence(db, place.log, producer.id)
            return Witnesses(place.range, last_sequence, own, foreign_count, place.topic_id)

        await self._writer.settled()
        return await self._readers.read(query)

    async def cut(self, name: str, producer: Producer, partitions: Sequence[Partition]) -> Producer:
        """Takes no offset: the newer epoch is written beside the log, for ever."""
        assert name, "only a producer with a name can be cut"
        return await self._writer.change(_cut(producer, tuple(partitions)))

    def _last_sequence(self, db: apsw.Connection, log: int, producer_id: int) -> int | None:
        row = db.execute(
            "SELECT epoch, recent FROM producers WHERE log = ? AND producer_id = ?", (log, producer_id)
        ).fetchone()
        return None if row is None else unpack_producer(self._path, *row).last_sequence


def _next_producer_id(db: apsw.Connection) -> int:
    taken: int = db.execute("UPDATE meta SET value = value + 1 WHERE key = 'next_producer_id' RETURNING value - 1").get
    return taken


def _cut(producer: Producer, partitions: tuple[Partition, ...]) -> Callable[[apsw.Connection], Producer]:
    def cut(db: apsw.Connection) -> Producer:
        logs = [lookup.find(db, partition).log for partition in partitions]
        known = "SELECT max(epoch) FROM producers WHERE producer_id = ?"
        epoch = max(producer.epoch, db.execute(known, (producer.id,)).get or 0) + 1
        put = "INSERT OR REPLACE INTO producers (log, producer_id, epoch, recent) VALUES (?, ?, ?, x'')"
        db.executemany(put, [(log, producer.id, epoch) for log in logs])
        return Producer(producer.id, epoch)

    return cut
