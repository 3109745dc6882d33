"""The pipeline of one open lane: segments in, batches appended, acknowledgements and credit back.

Strategy: a feeder receives, validates and queues appends, as many as the destination allows at once; a settler
awaits their answers in order and acknowledges. Positions are moved when an append is queued, at the offset it must get
(the log is written by us alone); an answer that differs, or none, ends the run, and the log is asked again.
So what the feeder plans is thrown away whole, never mended.

  P1  nothing is acknowledged before it and everything before it is durable, breaks of the map included;
  P2  after the pipeline has ended, no append of it is under way: recovery may ask the log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gateway.importer.errors import ForeignWrite
from gateway.importer.replay import Replay
from gateway.link.lanes import ImportLane
from gateway.meters import LaneMeter, Tally
from mesh.batch.header import BatchHeader
from mesh.batch.limits import Limits
from mesh.batch.stamp import restamp, sequence_of
from mesh.batch.validate import RecordChecker, validate
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.lanes.placement import Placement
from mesh.lanes.progress import LaneProgress
from mesh.ports import Cluster, StateOf
from mesh.segment import Segment

Entries = Mapping[str, bytes | None]

TELL_BYTES = 1 << 20
"""While more is under way, the provider is told after this much: a message for each batch costs both sides more than
the batch does. What is settled last is told at once, so no window, however small, stays closed."""


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    limits: Limits
    check_records: RecordChecker
    checkpoint_bytes: int = 64 << 20
    """Where a checkpoint costs a write of its own, one is made after this much: what a crash makes us compare again."""
    checkpoint_s: float = 5.0
    """And after this long, so that a slow lane's source may trim what was copied long ago."""


@dataclass(slots=True)
class Settled:
    """How far the lane is durable, as told to the provider; `size_bytes` counts what this run appended."""

    source_offset: int
    destination_offset: int
    ordinal: int
    source_timestamp_ms: int = -1
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Step:
    """One placement under way: an append whose answer is awaited, or entries to put, and where that takes the lane."""

    append: asyncio.Future[int] | None
    entries: Entries
    base_offset: int
    end: Settled
    credit_bytes: int


class Pipeline:
    """One run of a lane. `run` ends only by an error or a cancellation; `settled` is always true."""

    def __init__(
        self,
        cluster: Cluster,
        partition: Partition,
        progress: LaneProgress,
        lane: ImportLane,
        settings: PipelineSettings,
        meter: LaneMeter | None = None,
    ) -> None:
        self._cluster = cluster
        self._partition = partition
        self._progress = progress
        self._lane = lane
        self._settings = settings
        self._meter = meter or Tally()
        self._replay = Replay(progress.lane, cluster.source, partition, settings.limits)
        self._steps: deque[_Step] = deque()
        self._added = asyncio.Event()
        self._room = asyncio.Event()
        self._since_checkpoint = 0
        self._checkpoint_s = _now_s()
        self._owed_bytes = 0
        self._planned_bytes = 0
        self.settled = Settled(progress.position, progress.destination_offset, progress.ordinal)

    async def run(self) -> None:
        """Move segments until the lane or the link ends. Raises the MeshError that ended it."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self._settle())
        except* MeshError as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._quiesce()

    # --- feeding

    async def _feed(self) -> None:
        while True:
            segment = await self._lane.next()
            batches = [memoryview(batch) for batch in segment.batches]
            headers = [validate(batch, self._settings.limits, self._settings.check_records) for batch in batches]
            placements = self._progress.accept(segment, [header.records_count for header in headers])
            for placement in placements:
                if placement.batch is None:
                    await self._put(placement, segment)
                else:
                    await self._append(placement, headers[placement.batch], batches[placement.batch], segment)

    async def _append(self, placement: Placement, header: BatchHeader, batch: memoryview, segment: Segment) -> None:
        size_bytes = len(batch)
        if placement.present:
            rest = await self._replay.compare(placement, header, batch)
            if rest is None:
                await self._put(placement, segment, size_bytes)
                return
            batch = memoryview(rest)
        progress = self._progress
        stamped = restamp(batch, progress.producer, sequence_of(placement.first_ordinal + placement.skip))
        base_offset = progress.expected(placement)
        progress.placed(placement, base_offset)
        entries = self._entries(size_bytes)
        append = self._cluster.destination.append(self._partition, stamped, _state_of(base_offset, entries))
        assert asyncio.isfuture(append)
        await self._add(_Step(append, {}, base_offset, self._end(segment, size_bytes), size_bytes))

    async def _put(self, placement: Placement, segment: Segment, credit_bytes: int = 0) -> None:
        """A placement that appends nothing: gaps alone, or records that were there."""
        self._progress.placed(placement)
        entries = self._entries(credit_bytes)
        await self._add(_Step(None, entries, -1, self._end(segment, 0), credit_bytes))

    async def _add(self, step: _Step) -> None:
        self._steps.append(step)
        self._added.set()
        while len(self._steps) >= self._cluster.destination.max_in_flight:
            self._room.clear()
            await self._room.wait()

    def _entries(self, size_bytes: int) -> Entries:
        """What must be durable with the placement just planned: a break always, a mere advance now and then."""
        self._since_checkpoint += size_bytes
        free = self._cluster.destination.joins_state
        return self._checkpoint() if free or self._progress.breaks_to_store or self._is_due() else {}

    def _is_due(self) -> bool:
        elapsed_s = _now_s() - self._checkpoint_s
        return self._since_checkpoint >= self._settings.checkpoint_bytes or elapsed_s >= self._settings.checkpoint_s

    def _checkpoint(self) -> Entries:
        """The entries for the lane as planned; to be durable after everything planned before them."""
        checkpoint, entries = self._progress.to_store()
        self._progress.stored(checkpoint)
        self._since_checkpoint, self._checkpoint_s = 0, _now_s()
        return entries

    def _end(self, segment: Segment, size_bytes: int) -> Settled:
        progress = self._progress
        self._planned_bytes += size_bytes
        latest_ms = max(segment.source_timestamp_ms, self.settled.source_timestamp_ms)
        return Settled(progress.position, progress.destination_offset, progress.ordinal, latest_ms, self._planned_bytes)

    # --- settling

    async def _settle(self) -> None:
        while True:
            while not self._steps:
                await self._idle()
            await self._settle_first()

    async def _idle(self) -> None:
        """Wait for a step; a lane that has come to rest keeps its position after a while."""
        self._added.clear()
        try:
            async with asyncio.timeout(self._settings.checkpoint_s if self._since_checkpoint else None):
                await self._added.wait()
        except TimeoutError:
            if not self._steps:  # otherwise the plan is ahead of what is durable
                await self._cluster.lanes.put(self._checkpoint())

    async def _settle_first(self) -> None:
        """Await the oldest step and acknowledge it. It stays in the queue until then, whatever interrupts us."""
        step = self._steps[0]
        if step.append is not None:
            await asyncio.wait([step.append])  # unlike awaiting it, a cancellation here leaves the append alone
            offset = self._answer(step.append)
            if offset != step.base_offset:
                raise ForeignWrite(*self._partition, step.base_offset, offset)
            self._meter.moved(step.end.ordinal - self.settled.ordinal, step.credit_bytes)
        elif step.entries:
            await self._cluster.lanes.put(step.entries)
        self._steps.popleft()
        self._room.set()
        self.settled = step.end
        self._owed_bytes += step.credit_bytes
        if not self._steps or self._owed_bytes >= TELL_BYTES:
            self._tell()

    def _tell(self) -> None:
        """Acknowledge what is settled and give its credit back."""
        owed_bytes, self._owed_bytes = self._owed_bytes, 0
        self._lane.acknowledge(self.settled.source_offset)
        if owed_bytes:
            self._lane.credit(owed_bytes)

    def _answer(self, append: asyncio.Future[int]) -> int:
        try:
            return append.result()
        except MeshError as error:
            self._meter.append_failed(error.code)
            raise

    async def _quiesce(self) -> None:
        """Let the appends under way be answered (P2; each has its cluster's deadline), then keep what they reached.

        What fails here is not lost: the next run asks the log.
        """
        appends = [step.append for step in self._steps if step.append is not None]
        if appends:
            await asyncio.wait(appends)
        with suppress(MeshError):
            while self._steps:
                await self._settle_first()
            if self._since_checkpoint:
                await self._cluster.lanes.put(self._checkpoint())


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _state_of(base_offset: int, entries: Entries) -> StateOf | None:
    """The entries go with the append only at the offset they were made for."""
    return (lambda offset: entries if offset == base_offset else {}) if entries else None
