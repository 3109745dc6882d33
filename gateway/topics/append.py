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

from gateway.topics.errors import LineRefused
from gateway.topics.lines import BadLine, LineRecord, parse_line
from gateway.topics.partitioner import by_key
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, Codec
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, StampedBatch, next_sequence
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.log import Topic
from mesh.ports import Destination

BATCH_BYTES = 256 * 1024
RECORD_OVERHEAD_BYTES = 20
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
        await run.settle()
        run.report.error = run.report.error or LineRefused(run.lines, str(error), run.report.appended)
    except MeshError as error:
        await run.settle()
        run.report.error = error
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
    """The records that one partition gathers, and its appends in flight, oldest first."""

    __slots__ = ("flights", "records", "sequence", "size")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.size = 0
        self.sequence = 0
        self.flights: deque[tuple[int, asyncio.Future[int]]] = deque()


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
        self.has_pending = False
        self.lines = 0
        self.report = AppendReport()

    def take(self, line: bytes) -> int | None:
        """Gather the record of `line`; the number of its partition if that has a batch full. Raises BadLine."""
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
        pending.size += RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
        for name, content in record.headers:
            pending.size += len(name) + len(content or b"")
        self.has_pending = True
        return number if pending.size >= BATCH_BYTES else None

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
        while len(pending.flights) >= self._destination.max_in_flight:
            await self._land(number)
        records, pending.records, pending.size = pending.records, [], 0
        batch = stamped(records, self._producer, pending.sequence, self._options.codec)
        pending.sequence = next_sequence(pending.sequence, len(records))
        answer = asyncio.ensure_future(self._destination.append(Partition(self._topic.name, number), batch))
        pending.flights.append((len(records), answer))
        if number == self._sticky:
            self._sticky = (number + 1) % self._topic.partitions

    async def flush_all(self) -> None:
        for number in range(self._topic.partitions):
            await self.flush(number)
        self.has_pending = False

    async def finish(self) -> None:
        """Everything gathered is durable at return."""
        await self.flush_all()
        for number in range(self._topic.partitions):
            while self._pending[number].flights:
                await self._land(number)

    async def settle(self) -> None:
        """Finish as far as it goes: each answer is counted, the first failure is in the report."""
        try:
            await self.flush_all()
        except MeshError as error:
            self.report.error = self.report.error or error
        for number in range(self._topic.partitions):
            while self._pending[number].flights:
                try:
                    await self._land(number)
                except MeshError as error:
                    self.report.error = self.report.error or error

    async def _land(self, number: int) -> None:
        count, answer = self._pending[number].flights.popleft()
        base_offset = await answer
        report = self.report.partitions.setdefault(number, PartitionReport())
        report.records += count
        report.last_offset = base_offset + count - 1

    def abandon(self) -> None:
        """Leave no answer unread, also after a cancellation."""
        for pending in self._pending:
            for _, answer in pending.flights:
                answer.add_done_callback(_read_outcome)


def _read_outcome(answer: asyncio.Future[int]) -> None:
    if not answer.cancelled():
        answer.exception()


def stamped(records: list[Record], producer: Producer, base_sequence: int, codec: Codec) -> StampedBatch:
    """One batch of `records`, ready to be appended."""
    whole = encode(records, codec=codec, producer=producer, base_sequence=base_sequence)
    return StampedBatch(whole[:HEADER_BYTES], memoryview(whole)[HEADER_BYTES:], producer, base_sequence, len(records))
