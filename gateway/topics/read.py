"""A local topic as JSON lines: its committed records, from a place on, to the end or for ever.

Strategy: without `follow` the partitions are read one after the other up to the end that each had at the start; with
it each partition has a task that waits for its appends, and all share one sink. What is aborted or not yet stable is
not shown, as in a read_committed consumer. Back-pressure is the sink's: nothing is fetched while it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from gateway.starting import first_offset
from gateway.topics.errors import QueryRefused
from gateway.topics.lines import format_record
from mesh.batch.header import HEADER_BYTES, epoch_before, parse_header
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.records import Record, records_of
from mesh.cluster_errors import PartitionAbsent
from mesh.ids import Partition
from mesh.lanes.export import cut
from mesh.log import Topic
from mesh.ports import Source
from mesh.segment import Segment
from mesh.shares import StartAt

FETCH_BYTES = 1024 * 1024
WAIT_S = 1.0
# What one write carries: system calls vanish beside the formatting, a reader with --max is not sent much for nothing.
BLOCK_RECORDS = 500

EARLIEST = StartAt("earliest")

Write = Callable[[bytes], Awaitable[None]]
"""Takes whole lines; an empty block asks only whether anybody still listens."""


@dataclass(frozen=True, slots=True)
class ReadQuery:
    partition: int | None = None
    start: StartAt = EARLIEST
    follow: bool = False
    max_records: int | None = None


class _Enough(Exception):
    """The asked number of records was written."""


async def read_topic(
    source: Source, topic: Topic, query: ReadQuery, write: Write, limits: Limits = DEFAULT_LIMITS
) -> int:
    """Write the records that `query` asks for, answer how many. Raises PartitionAbsent and what the source raises."""
    numbers = range(topic.partitions) if query.partition is None else [query.partition]
    if query.partition is not None and not 0 <= query.partition < topic.partitions:
        raise PartitionAbsent(topic.name, query.partition, topic.partitions)
    if query.max_records is not None and query.max_records < 0:
        raise QueryRefused("max", str(query.max_records), "it counts records")
    reader = _Reader(source, topic, query, write, limits)
    try:
        if query.max_records == 0:
            return 0
        if query.follow:
            async with asyncio.TaskGroup() as group:
                for number in numbers:
                    group.create_task(reader.read(number))
        else:
            for number in numbers:
                await reader.read(number)
    except _Enough:
        pass
    except BaseExceptionGroup as group:
        _, failed = group.split(_Enough)
        if failed is not None:
            raise _first(failed) from group
    return reader.written


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the failures: they have one cause where a cluster or a listener goes away."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


class _Reader:
    def __init__(self, source: Source, topic: Topic, query: ReadQuery, write: Write, limits: Limits) -> None:
        self._source, self._topic, self._query = source, topic, query
        self._write, self._limits = write, limits
        self.written = 0

    async def read(self, number: int) -> None:
        partition = Partition(self._topic.name, number)
        position, end = await self._bounds(partition)
        epoch = -1
        while self._query.follow or position < end:
            fetched = await self._source.fetch(partition, position, self._topic.topic_id, FETCH_BYTES, WAIT_S, epoch)
            segment = cut(fetched, position, 0, FETCH_BYTES, self._limits)
            if segment is None:
                await self._write(b"")
                continue
            await self._show(number, segment, None if self._query.follow else end)
            position = segment.next_source_offset
            epoch = epoch_before(fetched.data, position)

    async def _bounds(self, partition: Partition) -> tuple[int, int]:
        """Where to begin, within the log, and the end as of now."""
        held = await self._source.range(partition)
        begin = await first_offset(self._source, partition, self._query.start, held)
        return min(max(begin, held.start), held.last_stable), held.last_stable

    async def _show(self, number: int, segment: Segment, end: int | None) -> None:
        lines: list[bytes] = []
        for offset, record in located(segment, self._limits):
            if end is not None and offset >= end:
                break
            lines.append(format_record(number, offset, record.timestamp_ms, record.key, record.value, record.headers))
            if len(lines) == BLOCK_RECORDS:
                await self._send(lines)
                lines = []
        if lines:
            await self._send(lines)

    async def _send(self, lines: list[bytes]) -> None:
        limit = self._query.max_records
        # counted before the write waits: tasks of other partitions share the count
        room = len(lines) if limit is None else min(len(lines), limit - self.written)
        self.written += room
        if room:
            await self._write(b"\n".join(lines[:room]) + b"\n")
        if self.written == limit:
            raise _Enough


def located(segment: Segment, limits: Limits) -> Iterator[tuple[int, Record]]:
    """The visible records of `segment` with their source offsets."""
    offsets = (
        offset for span in segment.spans if span.reason is None for offset in range(span.source_offset, span.end)
    )
    for batch in segment.batches:
        # the records first: zip ends with them and has taken no offset too many
        for record, offset in zip(_records(memoryview(batch), limits), offsets, strict=False):
            yield offset, record


def _records(batch: memoryview, limits: Limits) -> Iterator[Record]:
    return records_of(parse_header(batch), batch[HEADER_BYTES:], limits)
