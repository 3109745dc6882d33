"""Where a reading begins: by the caller's positions, by the cursor, by a start; each within the log, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from gateway.local.cursors import Cursors, Lease
from gateway.local.reading import Part, Reading, ReadSettings
from gateway.local.values import Begun, ReadQuery
from gateway.starting import first_offset
from mesh.cluster_errors import OffsetOutOfRange, PartitionAbsent
from mesh.errors import MeshError
from mesh.ids import Partition, TopicName
from mesh.local.errors import RequestRefused
from mesh.log import Topic
from mesh.ports import Cluster
from mesh.shares import IllegalStart, StartAt

AT_ONCE = 32
"""Partitions of which the log is asked at a time."""


@dataclass(frozen=True, slots=True)
class Readings:
    cluster: Cluster
    cursors: Cursors
    settings: ReadSettings
    told: Callable[[int], None] = lambda count: None
    """Called with how many records a reader was given."""
    _running_now: set[Reading] = field(default_factory=set)

    def end(self, error: MeshError) -> None:
        """Every reading ends with the error, when what it has fetched is taken."""
        for reading in self._running_now:
            reading.fail(error)

    @asynccontextmanager
    async def open(self, query: ReadQuery) -> AsyncIterator[Reading]:
        """As `LocalApi.read`."""
        start = _checked(query)
        topic = await self.cluster.topics.describe(str(TopicName(query.topic)))
        numbers = _numbers(query, topic)
        if not query.cursor:
            async with self._running(query, topic, numbers, start, None) as reading:
                yield reading
            return
        async with (
            self.cursors.leased(query.cursor, topic.name) as lease,
            self._running(query, topic, numbers, start, lease) as reading,
        ):
            yield reading

    @asynccontextmanager
    async def _running(
        self, query: ReadQuery, topic: Topic, numbers: Sequence[int], start: StartAt, lease: Lease | None
    ) -> AsyncIterator[Reading]:
        held = await self.cursors.positions(query.cursor, topic.name) if lease else {}
        positions = held | dict(query.positions)
        asked = asyncio.Semaphore(AT_ONCE)
        parts = await asyncio.gather(
            *(self._part(topic, number, positions.get(number), start, query, asked) for number in numbers)
        )
        begun = Begun({part.number: part.position for part in parts}, lease.token if lease else "")
        if lease is not None:
            lease.topic = topic
        given = lease.given if lease else {}
        given |= begun.positions
        grows = not query.partitions and not query.until_end
        reading = Reading(self.cluster, topic, query, begun, self.settings, given, parts, grows, self.told)
        filling = asyncio.create_task(reading.run())
        self._running_now.add(reading)
        try:
            yield reading
        finally:
            self._running_now.discard(reading)
            filling.cancel()
            with suppress(asyncio.CancelledError):
                await filling

    async def _part(
        self,
        topic: Topic,
        number: int,
        position: int | None,
        start: StartAt,
        query: ReadQuery,
        asked: asyncio.Semaphore,
    ) -> Part:
        """Raises OffsetOutOfRange."""
        partition = Partition(topic.name, number)
        async with asked:
            held = await self.cluster.source.range(partition)
            if position is None:
                position = max(await first_offset(self.cluster.source, partition, start, held), held.start)
        if not held.start <= position <= held.end:
            raise OffsetOutOfRange(topic.name, number, position, held.start, held.end)
        return Part(number, position, held.last_stable if query.until_end else None)


def _checked(query: ReadQuery) -> StartAt:
    """Raises RequestRefused, IllegalStart."""
    start = StartAt.parse(query.start or "earliest")
    if start.kind == "offset":
        raise IllegalStart(query.start[:80])
    if query.max_records < 0 or query.max_bytes < 0:
        raise RequestRefused("max_records" if query.max_records < 0 else "max_bytes", "it is a number from 0 on")
    unread = {*query.positions} - {*query.partitions} if query.partitions else set()
    if unread:
        raise RequestRefused("positions", f"partition {min(unread)} is none that is to be read")
    return start


def _numbers(query: ReadQuery, topic: Topic) -> list[int]:
    """Raises PartitionAbsent."""
    for number in (*query.partitions, *query.positions):
        if not 0 <= number < topic.partitions:
            raise PartitionAbsent(topic.name, number, topic.partitions)
    return sorted({*query.partitions}) or [*range(topic.partitions)]
