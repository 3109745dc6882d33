"""JSON lines into a local topic: parse, choose a partition, batch by load, append in order.

Strategy: one pass over the incoming blocks of bytes; each partition gathers records until BATCH_BYTES or until the
input pauses, then they become one batch with the next sequence of a fresh producer. Several appends per partition
are in flight, as many as the destination allows; beyond that the input waits.
A. Records of one partition keep the order of their lines; nothing is appended twice: a failure ends the whole run.
B. A bad line ends the run after all lines before it are durable, and the error says how many that were.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.topics.errors import LineRefused
from gateway.topics.lines import BadLine, LineRecord, parse_line
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, Codec
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, StampedBatch, next_sequence
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.log import Topic
from mesh.partitioner import by_key
from mesh.ports import Destination

BATCH_BYTES = 256 * 1024
RECORD_OVERHEAD_BYTES = 20
# Many partitions shall not need much memory: beyond these the largest batch leaves early, and the input waits.
MAX_GATHERED_BYTES = 32 * 1024 * 1024
MAX_FLYING_BYTES = 32 * 1024 * 1024
# One line bounds the memory of a run; larger than any broker's default for a record.
MAX_LINE_BYTES = 32 * 1024 * 1024
# A typist or a slow program shall see records appear; a fast one never pauses this long.
LINGER_S = 0.02

Read = Callable[[], Awaitable[bytes]]
"""The next block of the input, of any size; empty at its end."""


@dataclass(frozen=True, slots=True)
class AppendOptions:
    """`partition` sends everything there; `only_keys` passes over the partitions that records name."""

    partition: int | None = None
    only_keys: bool = False
    codec: Codec = Codec.LZ4


@dataclass(slots=True)
class PartitionReport:
    records: int = 0
    last_offset: int = -1


@dataclass(slots=True)
class AppendReport:
    """What is durable: the records by partition number, and why it ended if not by the end of the input."""

    partitions: dict[int, PartitionReport] = field(default_factory=dict)
    error: MeshError | None = None

    @property
    def appended(self) -> int:
        return sum(report.records for report in self.partitions.values())


async def append_lines(
    destination: Destination, topic: Topic, read: Read, options: AppendOptions, now_ms: Callable[[], int]
) -> AppendReport:
    """Append every line that `read` gives. A refusal or failure is in the report, beside what was appended."""
    producer = await destination.producer()
    run = _Run(destination, topic, producer, options, now_ms)
    try:
        await _pump(run, read)
    except BadLine as error:
        await run.settle(run.flush_all)
        run.report.error = run.report.error or LineRefused(run.lines, str(error), run.report.appended)
    except MeshError as error:
        run.report.error = error
        await run.settle()
    finally:
        run.abandon()
    return run.report


async def _pump(run: _Run, read: Read) -> None:
    rest = b""
    while block := await _next(run, read):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_LINE_BYTES:
            run.lines += 1
            raise BadLine(f"it is longer than {MAX_LINE_BYTES} bytes")
        for line in lines:
            full = run.take(line)
            if full is not None:
                await run.flush(full)
    if rest and (full := run.take(rest)) is not None:
        await run.flush(full)
    await run.finish()


async def _next(run: _Run, read: Read) -> bytes:
    """The next block; where the input pauses, what is gathered goes out first."""
    if not run.has_pending:
        return await read()
    try:
        async with asyncio.timeout(LINGER_S):
            return await read()
    except TimeoutError:
        await run.flush_all()
        return await read()


class _Pending:
    """The records that one partition gathers, the sequence of the first, and how many of its appends are in flight."""

    __slots__ = ("flying", "records", "sequence", "size")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.size = 0
        self.sequence = 0
        self.flying = 0


class _Flight(NamedTuple):
    """An append whose answer is awaited."""

    partition: int
    records: int
    size_bytes: int
    answer: asyncio.Future[int]


class _Run:
    """One run of appends: what is gathered, in flight and durable, by partition."""

    def __init__(
        self,
        destination: Destination,
        topic: Topic,
        producer: Producer,
        options: AppendOptions,
        now_ms: Callable[[], int],
    ) -> None:
        self._destination, self._topic, self._producer = destination, topic, producer
        self._options, self._now_ms = options, now_ms
        self._by_key = by_key(topic.partitions)
        self._sticky = 0
        self._pending = [_Pending() for _ in range(topic.partitions)]
        self._flights: deque[_Flight] = deque()
        self._flying_bytes = 0
        self._gathered_bytes = 0
        self.has_pending = False
        self.lines = 0
        self.report = AppendReport()

    def take(self, line: bytes) -> int | None:
        """Gather the record of `line`; the number of its partition if that is to be flushed. Raises BadLine."""
        self.lines += 1
        if not line or line.isspace():
            return None
        record = parse_line(line)
        number = self._choose(record)
        pending = self._pending[number]
        stamp = record.timestamp_ms
        pending.records.append(
            Record(0, self._now_ms() if stamp is None else stamp, record.key, record.value, record.headers)
        )
        size = RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
        for name, content in record.headers:
            size += len(name) + len(content or b"")
        pending.size += size
        self._gathered_bytes += size
        self.has_pending = True
        if pending.size >= BATCH_BYTES:
            return number
        return self._largest() if self._gathered_bytes > MAX_GATHERED_BYTES else None

    def _largest(self) -> int:
        return max(range(len(self._pending)), key=lambda number: self._pending[number].size)

    def _choose(self, record: LineRecord) -> int:
        options = self._options
        if options.partition is not None:
            return options.partition
        if record.partition is not None and not options.only_keys:
            if record.partition >= self._topic.partitions:
                raise BadLine(f"topic {self._topic.name!r} has no partition {record.partition}")
            return record.partition
        return self._sticky if record.key is None else self._by_key(record.key)

    async def flush(self, number: int) -> None:
        """Send what partition `number` has gathered; wait first where enough is in flight."""
        pending = self._pending[number]
        if not pending.records:
            return
        while pending.flying >= self._destination.max_in_flight or self._flying_bytes > MAX_FLYING_BYTES:
            await self._land()
        records, pending.records = pending.records, []
        self._gathered_bytes -= pending.size
        pending.size = 0
        batch = stamped(records, self._producer, pending.sequence, self._options.codec)
        pending.sequence = next_sequence(pending.sequence, len(records))
        answer = self._destination.append(Partition(self._topic.name, number), batch)
        assert asyncio.isfuture(answer)
        self._flights.append(_Flight(number, len(records), batch.size_bytes, answer))
        self._flying_bytes += batch.size_bytes
        pending.flying += 1
        if number == self._sticky:
            self._sticky = (number + 1) % self._topic.partitions

    async def flush_all(self) -> None:
        for number in range(self._topic.partitions):
            await self.flush(number)
        self.has_pending = False

    async def finish(self) -> None:
        """Everything gathered is durable at return."""
        await self.flush_all()
        while self._flights:
            await self._land()

    async def settle(self, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """After `first`, await what is in flight: each success is counted, the first failure is in the report."""
        try:
            if first is not None:
                await first()
        except MeshError as error:
            self.report.error = self.report.error or error
        while self._flights:
            try:
                await self._land()
            except MeshError as error:
                self.report.error = self.report.error or error

    async def _land(self) -> None:
        """Await the oldest append in flight. Raises what it raises; then its records are not counted."""
        flight = self._flights.popleft()
        self._flying_bytes -= flight.size_bytes
        self._pending[flight.partition].flying -= 1
        base_offset = await flight.answer
        report = self.report.partitions.setdefault(flight.partition, PartitionReport())
        report.records += flight.records
        report.last_offset = base_offset + flight.records - 1

    def abandon(self) -> None:
        """Leave no answer unread, also after a cancellation."""
        for flight in self._flights:
            flight.answer.add_done_callback(_read_outcome)


def _read_outcome(answer: asyncio.Future[int]) -> None:
    if not answer.cancelled():
        answer.exception()


def stamped(records: list[Record], producer: Producer, base_sequence: int, codec: Codec) -> StampedBatch:
    """One batch of `records`, ready to be appended."""
    whole = encode(records, codec=codec, producer=producer, base_sequence=base_sequence)
    return StampedBatch(whole[:HEADER_BYTES], memoryview(whole)[HEADER_BYTES:], producer, base_sequence, len(records))
