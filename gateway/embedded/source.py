"""The embedded log as a `Source`: reads by byte budget, and waits for appends without polling."""

from __future__ import annotations

import asyncio

import apsw

import gateway.embedded.lookup as lookup
from gateway.embedded.changes import Changes
from gateway.embedded.readers import Readers
from gateway.embedded.times import first_offset_at
from mesh.ids import Partition, TopicId
from mesh.log import Fetched, LogRange


class EmbeddedSource:
    """Implements `mesh.ports.Source`. There are no transactions: all that is acknowledged is stable."""

    def __init__(self, readers: Readers, changes: Changes) -> None:
        self._readers = readers
        self._changes = changes

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        def query(db: apsw.Connection) -> Fetched:
            place = lookup.find(db, partition)
            lookup.check_fetch(place, offset, topic_id)
            data = lookup.read_batches(db, place.log, offset, max_bytes) if offset < place.end else b""
            return Fetched(memoryview(data), (), place.range, place.leader_epoch)

        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            # The watch begins before the read: an append between the two ends the wait at once.
            with self._changes.watch(partition) as changed:
                fetched = await self._readers.read(query)
                if fetched.data or wait_s <= 0:
                    return fetched
                try:
                    async with asyncio.timeout_at(deadline):
                        await changed
                except TimeoutError:
                    return fetched

    async def range(self, partition: Partition) -> LogRange:
        return await self._readers.read(lambda db: lookup.find(db, partition).range)

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int | None:
        def query(db: apsw.Connection) -> int | None:
            place = lookup.find(db, partition)
            position = place.start
            # A batch may claim a time that none of its records has: then the next one is asked.
            while found := lookup.batches_from_time(db, place.log, timestamp_ms, position):
                position, body = found
                offset = first_offset_at(body, timestamp_ms)
                if offset is not None:
                    return offset
            return None

        return await self._readers.read(query)
