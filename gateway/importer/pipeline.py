"""The pipeline of one open lane: segments in, batches appended, acknowledgements and credit back.

Strategy: a feeder receives, validates and queues appends, as many as the destination allows at once; a settler
awaits their answers in order and acknowledges. Positions are moved when an append is queued, at the offset it must get
(the log is written by us alone); an answer that differs, or none, ends the run, and the log is asked again.
So what the feeder plans is thrown away whole, never mended.

  P1  nothing is acknowledged before it and everything before it is durable, breaks of the map included;
  P2  after the pipeline has ended, nothing of it is under way, however it ended: recovery may ask the log;
  P3  state is stored in the order of the lane: what a put of its own stores is durable before a later append is sent;
  P4  the first append of a run goes alone: a log that has forgotten the producer takes any sequence as the first;
  P5  whether the peer may still be copied from is asked directly before each append: `permit` raises where it may not;
  P6  a record that is left out (quarantine) is durably a gap before anything behind it is sent;
  P7  once an append went elsewhere, no append of the run stores state, be it in its own place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gateway.failing import ended_by
from gateway.failpoints import Place, reach
from gateway.importer.errors import ForeignWrite, RecordTimestampRefused
from gateway.importer.in_place import Entries, InPlace
from gateway.importer.replay import Replay
from gateway.link.lanes import ImportLane
from gateway.meters import LaneMeter, Tally
from mesh.batch.header import parse_header
from mesh.batch.limits import Limits
from mesh.batch.stamp import sequence_of, stamp
from mesh.batch.validate import RecordChecker, Sound, sound
from mesh.cluster_errors import AppendUnknown, TimestampRefused
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.lanes.checkpoint import Checkpoint
from mesh.lanes.coalesce import JOINED_BYTES, NOTHING_JOINED, Joining, Ready, coalesce, ready_of
from mesh.lanes.placement import Placement
from mesh.lanes.progress import LaneProgress
from mesh.lanes.timestamps import TimestampRule, first_refused, never_taken, source_offset_of
from mesh.lanes.timestamps import pieces as cut_pieces
from mesh.ports import Cluster
from mesh.segment import Segment
from mesh.shares import OnTimestamp
from mesh.spans import GapReason

log = structlog.get_logger()

AS_THEY_ARE = TimestampRule()

CREDIT_BYTES = 2 << 20
"""While more is under way, credit goes back after this much: a message for each batch costs both sides more than the
batch does."""
CREDIT_SHARE = 4
"""When nothing is under way it goes back from one part in so many of the window on: the provider, who waits for half of
a window, has the rest."""
TELL_S = 0.1
"""No lane acknowledges more often. Nobody waits for it: what a lane may send goes by its credit."""


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    limits: Limits
    check_records: RecordChecker
    checkpoint_bytes: int = 64 << 20
    """Where a checkpoint costs a write of its own, one is made after this much: what a crash makes us compare again."""
    checkpoint_s: float = 5.0
    """And after this long, so that a slow lane's source may trim what was copied long ago."""
    joined_bytes: int = JOINED_BYTES
    """Up to here small batches become one, by their uncompressed records; 0: never."""


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
    """To be put on its own; an append has taken its entries along."""
    checkpoint: Checkpoint | None
    """What is durable when the step is settled, None where it stores nothing."""
    base_offset: int
    end: Settled
    credit_bytes: int
    sent: tuple[Placement, Ready] | None = None
    """The batch that was appended for a placement, so that a refusal can name the record."""


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
        permit: Callable[[], None] = lambda: None,
        rule: TimestampRule = AS_THEY_ARE,
        now_ms: Callable[[], int] = lambda: 0,
        joining: Joining = NOTHING_JOINED,
    ) -> None:
        self._cluster = cluster
        self._partition = partition
        self._progress = progress
        self._lane = lane
        self._settings = settings
        self._meter = meter or Tally()
        self._permit = permit
        self._rule = rule
        self._now_ms = now_ms
        self._joining = joining
        bare = rule.policy is OnTimestamp.OVERRIDE
        self._replay = Replay(progress.lane, cluster.source, partition, settings.limits, may_lack_timestamps=bare)
        self._in_place = InPlace()
        self._steps: deque[_Step] = deque()
        self._added = asyncio.Event()
        self._room = asyncio.Event()
        self._since_checkpoint = 0
        self._checkpoint_s = _now_s()
        self._owed_bytes = 0
        self._told_s = -TELL_S
        self._is_told = True
        self._planned_bytes = 0
        self._planned_breaks = progress.map.end_break - progress.breaks_to_store
        self._is_proven = False
        self._putting: asyncio.Future[None] | None = None
        self.has_joined = False
        """Whether a batch was appended that is several of the source's."""
        self.has_caught_up = lane.status is not None and progress.position >= lane.status.last_stable
        self.settled = Settled(progress.position, progress.destination_offset, progress.ordinal)

    async def run(self) -> None:
        """Move segments until the lane or the link ends. Raises the MeshError that ended it."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                await self._settle()  # in the body: see `ended_by`
        except BaseExceptionGroup as errors:
            raise ended_by(errors) from None
        finally:
            await self._quiesce()

    # --- feeding

    async def _feed(self) -> None:
        while True:
            await self._take_next()

    async def _take_next(self) -> None:
        segment = await self._lane.next()
        reach(Place.RECEIVED)
        ready = list(coalesce(self._sound(segment), self._joining))
        if self._rule.may_change_records:
            await self._take_judged(segment, ready)
        else:
            await self._take(segment, ready, segment.weight_bytes - segment.size_bytes)

    def _sound(self, segment: Segment) -> Iterator[Sound]:
        """The batches of the segment. Raises as `validate`."""
        limits, check_records = self._settings.limits, self._settings.check_records
        for entry in segment.batches:
            yield from sound(memoryview(entry), limits, check_records)

    async def _take_judged(self, segment: Segment, ready: list[Ready]) -> None:
        """As the policy for timestamps that the topic refuses demands it."""
        self._progress.check(segment, [each.records_count for each in ready])
        whole = replace(segment, batches=tuple(each.batch for each in ready))
        headers, present = [parse_header(batch) for batch in whole.batches], self._progress.replaying
        pieces = cut_pieces(whole, headers, self._rule, self._now_ms(), present, self._settings.limits)
        if pieces[0] is whole:
            await self._take(segment, ready, segment.weight_bytes - segment.size_bytes)
            return
        for piece in pieces:
            owed_bytes = segment.weight_bytes if piece is pieces[-1] else 0
            await self._take(piece, [ready_of(batch) for batch in piece.batches], owed_bytes)

    async def _take(self, segment: Segment, ready: list[Ready], owed_bytes: int) -> None:
        """`owed_bytes` of credit go back with the first placement, and with each what its batch came as."""
        for placement in self._progress.accept(segment, [each.records_count for each in ready]):
            if placement.batch is None:
                await self._put(placement, segment, owed_bytes, segment.leader_epoch)
            else:
                batch = ready[placement.batch]
                await self._append(placement, batch, segment, batch.source_bytes + owed_bytes)
            owed_bytes = 0

    async def _append(self, placement: Placement, batch: Ready, segment: Segment, credit_bytes: int) -> None:
        if placement.present:
            rest = await self._replay.compare(placement, batch)
            if rest is None:
                await self._put(placement, segment, credit_bytes, _epoch(placement, segment, batch))
                return
            batch = rest
        self._permit()
        progress = self._progress
        sequence = sequence_of(placement.first_ordinal + placement.skip)
        stamped = stamp(batch.header, batch.payload, progress.producer, sequence)
        base_offset = progress.expected(placement)
        progress.placed(placement, base_offset, _epoch(placement, segment, batch))
        size_bytes = stamped.size_bytes
        checkpoint, entries = self._state(size_bytes, free=self._cluster.destination.joins_state)
        reach(Place.APPEND)
        append = self._cluster.destination.append(self._partition, stamped, self._in_place.state(base_offset, entries))
        reach(Place.APPENDING)
        assert asyncio.isfuture(append)
        self.has_joined |= batch.sources > 1
        end = self._end(segment, size_bytes)
        await self._add(_Step(append, {}, checkpoint, base_offset, end, credit_bytes, (placement, batch)))
        if not self._is_proven:
            await self._all_settled()
            self._is_proven = True

    async def _put(self, placement: Placement, segment: Segment, credit_bytes: int, epoch: int = -1) -> None:
        """A placement that appends nothing: gaps alone, or records that were there."""
        self._progress.placed(placement, source_epoch=epoch)
        # What is left out was decided by a clock: whoever goes on must find it decided, though it made no break.
        decided = any(span.reason is GapReason.QUARANTINED for span in placement.spans)
        checkpoint, entries = self._state(credit_bytes, free=decided)
        await self._add(_Step(None, entries, checkpoint, -1, self._end(segment, 0), credit_bytes))
        if entries:
            await self._all_settled()

    async def _all_settled(self) -> None:
        while self._steps:
            self._room.clear()
            await self._room.wait()

    async def _add(self, step: _Step) -> None:
        self._steps.append(step)
        self._added.set()
        while len(self._steps) >= self._cluster.destination.max_in_flight:
            self._room.clear()
            await self._room.wait()

    def _state(self, size_bytes: int, *, free: bool) -> tuple[Checkpoint | None, Entries]:
        """What must be durable with the placement just planned: a break always, a mere advance now and then."""
        self._since_checkpoint += size_bytes
        if free or self._progress.map.end_break > self._planned_breaks or self._is_due():
            return self._checkpoint()
        return None, {}

    def _is_due(self) -> bool:
        elapsed_s = _now_s() - self._checkpoint_s
        return self._since_checkpoint >= self._settings.checkpoint_bytes or elapsed_s >= self._settings.checkpoint_s

    def _checkpoint(self) -> tuple[Checkpoint, Entries]:
        """The lane as planned; to be durable after everything planned before it.

        The entries hold all that is new since the last checkpoint *known* to be durable: those that were planned since
        may yet fail, and then these must be complete without them.
        """
        checkpoint, entries = self._progress.to_store()
        self._planned_breaks = checkpoint.stored_breaks
        self._since_checkpoint, self._checkpoint_s = 0, _now_s()
        return checkpoint, entries

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
        """Wait for a step; a lane that has come to rest tells its position, and keeps it after a while."""
        self._added.clear()
        try:
            async with asyncio.timeout(self._rest_s()):
                await self._added.wait()
        except TimeoutError:
            if not self._is_told:
                self._tell()
            elif not self._steps:  # otherwise the plan is ahead of what is durable
                await self._keep_position()

    def _rest_s(self) -> float | None:
        """How long a lane may be without a step until there is something to do."""
        if not self._is_told:
            return max(0.0, self._told_s + TELL_S - _now_s())
        return self._settings.checkpoint_s if self._since_checkpoint else None

    async def _keep_position(self) -> None:
        checkpoint, entries = self._checkpoint()
        await self._store(entries)
        self._progress.stored(checkpoint)

    async def _settle_first(self) -> None:
        """Await the oldest step. It stays in the queue until then, whatever interrupts us."""
        step = self._steps[0]
        if step.append is not None:
            await asyncio.wait([step.append])  # unlike awaiting it, a cancellation here leaves the append alone
            offset = self._answer(step, step.append)
            reach(Place.APPENDED)
            if offset < step.base_offset:  # that is no foreign write: the log is not the one it was, so it is asked
                raise AppendUnknown(*self._partition, f"it went to {offset}, {step.base_offset} was expected")
            if offset != step.base_offset:
                raise ForeignWrite(*self._partition, step.base_offset, offset)
            self._meter.moved(step.end.ordinal - self.settled.ordinal, step.credit_bytes)
        elif step.entries:
            await self._store(step.entries)
        if step.checkpoint is not None:
            self._progress.stored(step.checkpoint)
        self._steps.popleft()
        self._room.set()
        self.settled = step.end
        known = self._lane.status
        self.has_caught_up |= known is not None and self.settled.source_offset >= known.last_stable
        self._owed_bytes += step.credit_bytes
        self._is_told = False
        if _now_s() >= self._told_s + TELL_S:
            self._tell()
        if self._owed_bytes >= self._worth_bytes():
            owed_bytes, self._owed_bytes = self._owed_bytes, 0
            self._lane.credit(owed_bytes)

    def _worth_bytes(self) -> int:
        """How much credit is worth a message: never so much that the provider would have to wait for it."""
        return CREDIT_BYTES if self._steps else min(CREDIT_BYTES, max(1, self._lane.window_bytes // CREDIT_SHARE))

    def _tell(self) -> None:
        """Acknowledge what is settled."""
        self._told_s, self._is_told = _now_s(), True
        reach(Place.ACKNOWLEDGE)
        self._lane.acknowledge(self.settled.source_offset)
        reach(Place.ACKNOWLEDGED)

    async def _store(self, entries: Entries) -> None:
        """A put that a cancellation leaves alone: what recovery loads must not be replaced later (P2)."""
        reach(Place.STORE)
        self._putting = asyncio.ensure_future(self._cluster.lanes.put(entries))
        await asyncio.wait([self._putting])
        self._putting.result()
        reach(Place.STORED)

    def _answer(self, step: _Step, append: asyncio.Future[int]) -> int:
        if append.cancelled():  # a cancellation of ours would not come this way
            raise AppendUnknown(*self._partition, "the cluster gave it up")
        try:
            return append.result()
        except MeshError as error:
            self._meter.append_failed(error.code)
            if step.sent is not None and (why := self._why_refused(error, step.sent[1].batch)):
                raise self._named(why, step.sent[0], step.sent[1].batch) from error
            raise

    def _why_refused(self, error: MeshError, batch: memoryview) -> str:
        """Why the log refused the batch for its timestamps, empty where it did not."""
        if isinstance(error, TimestampRefused):
            return error.why
        limits = self._rule.limits
        if isinstance(error, AppendUnknown) and never_taken(parse_header(batch), batch, limits, self._settings.limits):
            return f"it is below -1, which the topic takes of no batch that it compresses anew ({limits.codec})"
        return ""

    def _named(self, why: str, placement: Placement, batch: memoryview) -> RecordTimestampRefused:
        """The refusal of a batch as that of a record: the first that our clock would refuse, too."""
        header, limits = parse_header(batch), self._rule.limits
        window = limits.of_batch(limits.window(self._now_ms()), header.codec)
        index, timestamp_ms = first_refused(header, batch, window, self._settings.limits)
        source_offset = source_offset_of(placement.spans, placement.skip + index)
        return RecordTimestampRefused(*self._partition, source_offset, timestamp_ms, why)

    async def _quiesce(self) -> None:
        """Let what is under way be answered (P2; each has its cluster's deadline), then keep what it reached.

        What fails here is not lost: the next run asks the log.
        """
        await _answered([step.append for step in self._steps if step.append is not None])
        await _answered([self._putting] if self._putting is not None else [])
        try:
            while self._steps:
                await self._settle_first()
            if not self._is_told:
                self._tell()
            if self._since_checkpoint and self._plan_is_settled:
                await self._keep_position()
        except MeshError as error:
            log.debug("lane ended with unknown outcomes", lane=str(self._progress.lane), code=error.code)
        finally:
            await _answered([self._putting] if self._putting is not None else [])

    @property
    def _plan_is_settled(self) -> bool:
        """Whether the plan holds nothing that never became a step."""
        return (self._progress.position, self._progress.ordinal) == (self.settled.source_offset, self.settled.ordinal)


async def _answered(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Wait until each has its answer, whatever it is; a cancellation waits, too."""
    cancelled: asyncio.CancelledError | None = None
    while pending := [future for future in futures if not future.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    for future in futures:
        if not future.cancelled():
            future.exception()  # seen: not every one of them is anybody's answer
    if cancelled is not None:
        raise cancelled


def _epoch(placement: Placement, segment: Segment, batch: Ready) -> int:
    """The leader epoch of the source batch that ends where the placement does, -1 unknown."""
    if placement.end == segment.next_source_offset and segment.leader_epoch >= 0:
        return segment.leader_epoch
    # A gap at the end may have been a batch of a later epoch.
    return batch.leader_epoch if placement.spans[-1].reason is None else -1


def _now_s() -> float:
    return asyncio.get_running_loop().time()
