"""Reading a topic for an application: from positions on, committed records only, as they come in.

Strategy: each partition has a task that fetches, decodes and hands over; what it hands over waits in one line for all
partitions, bounded in bytes. Who takes from the line makes room, so back-pressure reaches the fetch. Where a reader
begins is settled before the first record: nothing resets by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.failing import ended_by
from gateway.http.errors import logged
from gateway.local.values import Begun, PartitionRecords, ReadQuery, ReadRecord
from gateway.topics.read import located
from mesh.batch.header import epoch_before
from mesh.batch.limits import Limits
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.lanes.export import cut
from mesh.local.errors import ReaderStalled
from mesh.log import Topic
from mesh.ports import Cluster
from mesh.segment import Segment

log = structlog.get_logger()

FETCH_BYTES = 1 << 20
WAIT_S = 5.0
"""Of one fetch that finds nothing; its end shows nothing new but that all is well."""
REPLY_BYTES = 256 * 1024
MAX_REPLY_BYTES = 2 << 20
RECORD_BYTES = 64
"""What a record counts beside its bytes."""
GROWTH_S = 5.0
"""Between two looks at how many partitions there are."""


@dataclass(frozen=True, slots=True)
class ReadSettings:
    buffer_bytes: int
    stalled_s: float
    limits: Limits


@dataclass(frozen=True, slots=True)
class Part:
    """One partition to be read, from `position` on, to before `end`, None without end."""

    number: int
    position: int
    end: int | None = None


@dataclass(eq=False)
class Reading:
    """One reader's way through a topic: `async for parts in reading`, each what makes one reply.

    Who passes on what it gave does so within `taken`, so that a receiver who takes nothing does not hold it for ever.
    """

    cluster: Cluster
    topic: Topic
    query: ReadQuery
    begun: Begun
    settings: ReadSettings
    given: dict[int, int]
    """How far the reader has been given each partition."""
    parts: Sequence[Part]
    grows: bool
    """Whether partitions that are added are read too, from their beginning."""
    told: Callable[[int], None]
    _line: deque[tuple[int, PartitionRecords]] = field(default_factory=deque)
    _line_bytes: int = 0
    _open: int = 0
    """Partitions that are not at their end."""
    _count: int = 0
    _failure: MeshError | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.parts = [part for part in self.parts if part.end is None or part.position < part.end]
        self._open = len(self.parts) + self.grows

    async def __aiter__(self) -> AsyncIterator[Sequence[PartitionRecords]]:
        while (parts := await self.next()) is not None:
            yield parts

    async def next(self, wait_s: float | None = None) -> Sequence[PartitionRecords] | None:
        """The next records of any partitions, in the order of each; empty where none came within `wait_s`, None at
        the end (`until_end`, `max_records`). May be cancelled. Raises OffsetOutOfRange, TopicAbsent, TopicRecreated,
        LogTruncated, ReaderStalled …"""
        try:
            async with asyncio.timeout(wait_s):
                while not self._line and not self._is_over:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return ()
        if self._line:
            return [*self._take()]
        if self._failure is not None:
            raise self._failure
        return None

    def fail(self, error: MeshError) -> None:
        """End it with `error`, after what is in the line already."""
        self._failure = self._failure or error
        self._came.set()

    async def taken(self, write: Awaitable[object]) -> None:
        """Await `write`. Raises ReaderStalled where it takes `local.stalled_reader_s`; then it was cancelled."""
        try:
            async with asyncio.timeout(self.settings.stalled_s):
                await write
        except TimeoutError:
            raise ReaderStalled(self.topic.name, self.settings.stalled_s) from None

    @property
    def _is_over(self) -> bool:
        limit = self.query.max_records
        return self._failure is not None or not self._open or bool(limit and self._count >= limit)

    def _take(self) -> Iterator[PartitionRecords]:
        """What makes one reply, off the line."""
        most = min(self.query.max_bytes or REPLY_BYTES, MAX_REPLY_BYTES)
        while self._line and most > 0:
            size_bytes, part = self._line.popleft()
            most -= size_bytes
            self._line_bytes -= size_bytes
            limit = self.query.max_records
            if limit and self._count + len(part.records) >= limit:
                left = limit - self._count
                records = part.records[:left]
                part = part._replace(records=records, next_offset=records[-1].offset + 1)
                self._line.clear()
            self._count += len(part.records)
            self.told(len(part.records))
            self.given[part.partition] = part.next_offset
            yield part
        self._room.set()

    # --- filling the line

    async def run(self) -> None:
        """Fill the line until the end or a failure, which `next` raises."""
        try:
            async with asyncio.TaskGroup() as group:
                for part in self.parts:
                    group.create_task(self._read(part))
                if self.grows:
                    await self._watch_growth(group)
                elif self._open:
                    await self._ended.wait()  # in the body: see `ended_by`
        except BaseExceptionGroup as errors:
            self._failure = self._known(errors)
        except MeshError as error:
            self._failure = error
        finally:
            self._came.set()

    def _known(self, errors: BaseExceptionGroup[BaseException]) -> MeshError:
        try:
            return ended_by(errors)
        except BaseExceptionGroup as unknown:
            return logged(log, "reading failed", unknown, topic=self.topic.name)

    async def _watch_growth(self, group: asyncio.TaskGroup) -> None:
        """New partitions are read from their beginning. Runs as long as the reading."""
        known = self.topic.partitions
        while True:
            await asyncio.sleep(GROWTH_S)
            topic = await self.cluster.topics.describe(self.topic.name)
            for number in range(known, topic.partitions):
                self._open += 1
                group.create_task(self._read(Part(number, 0)))
            known = max(known, topic.partitions)

    async def _read(self, part: Part) -> None:
        partition, source = Partition(self.topic.name, part.number), self.cluster.source
        position, epoch, topic_id = part.position, -1, self.topic.topic_id
        while part.end is None or position < part.end:
            fetched = await source.fetch(partition, position, topic_id, FETCH_BYTES, WAIT_S, epoch)
            segment = cut(fetched, position, 0, FETCH_BYTES, self.settings.limits)
            if segment is None:
                continue
            for each in self._replies(part, segment):
                await self._hand_over(*each)
            position = segment.next_source_offset
            epoch = epoch_before(fetched.data, position)
        self._open -= 1
        self._came.set()
        if not self._open:
            self._ended.set()

    def _replies(self, part: Part, segment: Segment) -> Iterator[tuple[int, PartitionRecords]]:
        """The records of a segment in what fits into a reply each, with their sizes; the last stands at its end."""
        most = min(self.query.max_bytes or REPLY_BYTES, MAX_REPLY_BYTES)
        records: list[ReadRecord] = []
        size = 0
        for offset, record in located(segment, self.settings.limits):
            if part.end is not None and offset >= part.end:
                break
            if records and size >= most:
                yield size, PartitionRecords(part.number, records, records[-1].offset + 1)
                records, size = [], 0
            records.append(ReadRecord(offset, record.timestamp_ms, record.key, record.value, record.headers))
            size += RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
            for name, value in record.headers:
                size += len(name) + len(value or b"")
        after = segment.next_source_offset if part.end is None else min(segment.next_source_offset, part.end)
        yield size, PartitionRecords(part.number, records, after)

    async def _hand_over(self, size_bytes: int, part: PartitionRecords) -> None:
        while self._line_bytes and self._line_bytes + size_bytes > self.settings.buffer_bytes:
            self._room.clear()
            await self._room.wait()
        self._line.append((size_bytes, part))
        self._line_bytes += size_bytes
        self._came.set()
