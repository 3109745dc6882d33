"""One importing lane for as long as it is wanted: wait for a link, recover, run the pipeline, and again.

Every failure takes the same way: the run ends, its plans are dropped, and the next run asks the log. What may pass by
itself is tried again with growing pauses; the rest stops the lane with its reason until somebody resumes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

import structlog

from gateway.importer.apart import first_left, require_apart, unmatched
from gateway.importer.errors import ForeignWrite, LaneBroken, LaneMisplaced, LaneUnanswered, RecordTimestampRefused
from gateway.importer.losses import go_on, was_before
from gateway.importer.pipeline import Pipeline, PipelineSettings
from gateway.importer.recovery import begin_lane, resume_lane
from gateway.importer.terms import TopicTerms
from gateway.link.lanes import ImportLane
from gateway.losses import source_lost
from gateway.meters import LaneMeter
from mesh.backoff import Backoff
from mesh.cluster_errors import BatchRefused
from mesh.errors import MeshError
from mesh.ids import LaneId, OrgId, Partition, TopicId
from mesh.lanes.coalesce import NOTHING_JOINED, Joining
from mesh.lanes.losses import Loss, LossImplausible, LossKind, LostRange, lost_range
from mesh.lanes.progress import LaneProgress
from mesh.lanes.recovery import Resume
from mesh.lanes.status import LaneState, LaneStatus
from mesh.lanes.timestamps import TimestampLimits, TimestampRule
from mesh.lanes.watch import SourceWatch, watched
from mesh.link import frames
from mesh.link.errors import LaneEnded
from mesh.link.frames import LaneOpen, LaneOpened
from mesh.log import LogRange
from mesh.offsets.view import OffsetView
from mesh.ports import Cluster
from mesh.shares import OnForeignWrite, OnLoss, OnTimestamp, StartAt, Subscription

log = structlog.get_logger()

# A lane that has reached the end of its source counts as running until it is this far behind again.
CATCHING_UP_LAG_S = 60.0
CLOCKS_APART_MS = 86_400_000
# A grant may be given again, a topic created, the provider's own permission return: the subscriber is not told when.
MAY_RETURN = frozenset({"not-available", "provider-failed"})


class LaneOpener(Protocol):
    """A live link, as the importer needs it."""

    def open_lane(self, opening: Callable[[int], LaneOpen]) -> ImportLane: ...


class PeerLinks(Protocol):
    async def wait(self, peer: OrgId, key: str = "") -> LaneOpener:
        """A live link to `peer`, as soon as there is one; of several gateways always the same one for one `key`."""


@dataclass(frozen=True, slots=True)
class LaneSettings:
    pipeline: PipelineSettings
    credit_bytes: int
    retry_initial_s: float
    retry_max_s: float
    open_s: float = 30.0
    """How long the provider may take to open a lane."""


class LaneRunner:
    """Runs one lane; `status` and `view` may be asked at any time."""

    def __init__(
        self,
        cluster: Cluster,
        links: PeerLinks,
        subscription: Subscription,
        lane: LaneId,
        settings: LaneSettings,
        *,
        accept_foreign: bool,
        now_ms: Callable[[], int],
        random: Random,
        meter: LaneMeter | None = None,
        permit: Callable[[], None] = lambda: None,
        origin: Callable[[], str] = str,
        watch: SourceWatch | None = None,
        terms: TopicTerms | None = None,
    ) -> None:
        destination = subscription.destination_of(lane.topic)
        assert destination is not None, (lane, subscription)
        self._cluster = cluster
        self._links = links
        self._subscription = subscription
        self._lane = lane
        self._partition = Partition(destination, lane.partition)
        self._settings = settings
        self._reports_foreign = subscription.on_foreign_write is OnForeignWrite.REPORT
        self._accept_foreign = accept_foreign
        self._accepted_to = 0
        self._foreign_seen: tuple[int, ...] = ()
        self._now_ms = now_ms
        self._meter = meter
        self._permit = permit
        self._origin = origin
        self._start = subscription.start_of(lane.topic, lane.partition)
        self.watch = watch or SourceWatch()
        """What was heard of the source's offsets, by earlier runners of the lane too."""
        self._terms = terms or TopicTerms(cluster.topics)
        self._margin_ms = 0
        """How much closer to our clock than the topic says a timestamp must be, since the log has refused some."""
        self._may_join = True
        """Whether the next run may join batches: not the one after the log has refused some."""
        self._backoff = Backoff(settings.retry_initial_s, settings.retry_max_s, random)
        self._state = LaneState.WAITING
        self._error: MeshError | None = None
        self._progress: LaneProgress | None = None
        self._pipeline: Pipeline | None = None
        self._link_lane: ImportLane | None = None
        self._foreign_writes = 0
        self._size_bytes = 0
        self.lost: LostRange | None = None
        """What the source has lost, where the lane has stopped for it."""

    def __repr__(self) -> str:
        return f"<LaneRunner {self._lane} {self._state.value}>"

    async def run(self) -> None:
        """Keep the lane going until cancelled; return when it has stopped for good (see `status`)."""
        while True:
            try:
                await self._once()
                await asyncio.sleep(self._backoff.next_s())
            except MeshError as error:
                if not self._may_pass(error):
                    if isinstance(error, ForeignWrite):
                        self._foreign_writes = max(1, self._foreign_writes)
                    self._stop(error)
                    return
                self._state, self._error = LaneState.WAITING, error
                await asyncio.sleep(self._backoff.next_s())
            except Exception as error:  # a mistake of ours in one lane must not end the others
                log.exception("lane failed", lane=str(self._lane))
                self._stop(LaneBroken(str(self._lane), type(error).__name__))
                return

    def _may_pass(self, error: MeshError) -> bool:
        """Whether trying again may help: what the error says, or what the provider said of the lane it ended."""
        if isinstance(error, ForeignWrite):
            return self._reports_foreign
        if isinstance(error, BatchRefused | RecordTimestampRefused) and self._pipeline and self._pipeline.has_joined:
            self._may_join = False  # a batch as the source has it may pass, and what does not is named by itself
            return True
        if isinstance(error, RecordTimestampRefused):
            return self._may_judge_again()
        if isinstance(error, LaneEnded):
            return error.may_retry or error.ended_code in MAY_RETURN
        return error.retriable

    def _stop(self, error: MeshError) -> None:
        self._state, self._error = LaneState.STOPPED, error

    async def _once(self) -> None:
        """One run of the lane; returns where the source lost something and the lane may go on without it."""
        try:
            await self._connected()
        except LaneEnded as ended:
            if ended.loss is None:
                raise
            await self._lose(ended.loss)

    async def _lose(self, loss: Loss) -> None:
        """Raises SourceLost where the policy is to stop there, LossImplausible, and what recovery raises."""
        resumed = await self._resumed()
        known_start = self._link_lane.status.log_start if self._link_lane and self._link_lane.status else 0
        if resumed is None:
            await self._lose_before_it_began(loss, known_start)
            return
        progress, resume = resumed
        lane, topic_id = str(self._lane), progress.topic_id
        lost = lost_range(
            lane, loss, progress.map.start, progress.position, topic_id, progress.source_epochs, known_start
        )
        if loss.kind is LossKind.RECREATED and await was_before(self._cluster, self._lane, loss.topic_id):
            raise LossImplausible(lane, f"id {loss.topic_id} was the topic's before the present one")
        await self._settle_loss(progress, resume, loss, lost)

    async def _lose_before_it_began(self, loss: Loss, known_start: int) -> None:
        """The subscription begins at an offset that the source does not have."""
        start, topic_id = self._subscription.start.value, TopicId(loss.topic_id)
        lost = lost_range(str(self._lane), loss, start, start, topic_id, (), known_start)
        if self._subscription.on_loss is OnLoss.STOP or loss.kind is not LossKind.TRIMMED:
            self.lost = lost
            raise source_lost(self._lane, lost, loss)
        await self._begun(topic_id, start)
        await self._lose(loss)

    async def _settle_loss(self, progress: LaneProgress, resume: Resume, loss: Loss, lost: LostRange) -> None:
        self.lost = lost
        error = source_lost(self._lane, lost, loss)
        # Of a lane that has only begun nothing is lost: it was told to begin where the source has nothing.
        is_astray = loss.kind is LossKind.TRUNCATED and progress.has_only_begun
        if self._subscription.on_loss is OnLoss.STOP or is_astray:
            raise error
        self._check_foreign(resume)
        self._permit()
        if loss.kind is LossKind.TRIMMED and progress.replaying:
            await self._prove_apart(progress, loss.log_start)
        await go_on(self._cluster, self._partition, progress, loss, lost, self._now_ms())
        log.warning("lane goes on after a loss", lane=str(self._lane), code=error.code, reason=str(error))
        self.lost = None
        self._forget_run()

    async def _lose_tail(self, progress: LaneProgress, resume: Resume, opened: LaneOpened) -> None:
        """The copy holds records after the checkpoint, the source none: it was truncated there.

        Of which source offsets they were is not known; the range is the least that they can be of.
        """
        position = progress.position
        epoch = progress.source_leader_epoch  # what came before is judged by it when the lane is opened again
        loss = Loss(LossKind.TRUNCATED, opened.log_start, opened.log_end, position, opened.topic_id, epoch)
        await self._settle_loss(
            progress, resume, loss, LostRange(LossKind.TRUNCATED, position, position + progress.replaying)
        )

    async def _prove_apart(self, progress: LaneProgress, log_start: int) -> None:
        if self._subscription.on_timestamp is OnTimestamp.QUARANTINE:
            raise unmatched(progress, log_start)  # what the source has left first may be what we left out
        limits, check_records = self._settings.pipeline.limits, self._settings.pipeline.check_records
        opening = self._opening
        opener = await self._links.wait(self._subscription.peer, str(self._lane))
        lane = opener.open_lane(
            lambda number: replace(opening(number, progress), start=StartAt("offset", log_start), leader_epoch=-1)
        )
        try:
            left = await first_left(lane, self._lane, limits, check_records, self._settings.open_s)
        finally:
            lane.end("cancelled", "the importer looked only at the first record")
        await require_apart(progress, left, self._cluster.source, self._partition, limits, log_start)

    async def _resumed(self) -> tuple[LaneProgress, Resume] | None:
        subscribed_ms = self._subscription.subscribed_ms
        return await resume_lane(self._cluster, self._lane, self._partition, subscribed_ms)

    async def _begun(self, topic_id: TopicId, start: int) -> LaneProgress:
        """Raises what the permit raises: nothing is stored of a subscription that is known to be gone."""
        self._permit()
        subscribed_ms = self._subscription.subscribed_ms
        return await begin_lane(self._cluster, self._lane, self._partition, topic_id, start, subscribed_ms)

    def _forget_run(self) -> None:
        """Nothing of the run before holds any more; what is asked meanwhile is answered from what is stored."""
        self._size_bytes += self._pipeline.settled.size_bytes if self._pipeline else 0
        self._progress = self._pipeline = None

    async def _connected(self) -> None:
        opener = await self._links.wait(self._subscription.peer, str(self._lane))
        self._state = LaneState.RECOVERING
        limits, joining = await self._terms.timestamps(self._partition.topic), await self._joining()
        resumed = await self._resumed()
        lane = opener.open_lane(lambda number: self._opening(number, resumed[0] if resumed else None))
        self._link_lane = lane
        position = resumed[0].position if resumed else None
        lane.on_status = lambda status: self._heard(status, position)
        try:
            opened = await self._opened(lane)
            topic_id = TopicId(opened.topic_id)
            if resumed is None:
                progress = await self._begun(topic_id, opened.first_source_offset)
                self._accept_foreign = False
            else:
                progress = resumed[0]
                if topic_id != progress.topic_id:
                    await self._lose(Loss(LossKind.RECREATED, opened.log_start, opened.log_end, topic_id=topic_id))
                    return
                self._check(progress, resumed[1], opened.first_source_offset)
                if progress.replaying and opened.last_stable <= progress.position:
                    await self._lose_tail(progress, resumed[1], opened)
                    return
            await self._run(progress, lane, limits, joining)
        finally:
            lane.end("cancelled", "the importer ended the lane")

    async def _opened(self, lane: ImportLane) -> LaneOpened:
        try:
            async with asyncio.timeout(self._settings.open_s):
                return await lane.opened()
        except TimeoutError as error:
            raise LaneUnanswered(str(self._lane), self._settings.open_s) from error

    def _may_judge_again(self) -> bool:
        """A log that refuses what our clock lets pass has another clock: judge by a margin that grows, up to a day."""
        if self._subscription.on_timestamp is OnTimestamp.STOP or self._margin_ms >= CLOCKS_APART_MS:
            return False
        self._margin_ms = min(max(1000, 4 * self._margin_ms), CLOCKS_APART_MS)
        return True

    async def _joining(self) -> Joining:
        """How the next run may join batches."""
        may_join, self._may_join = self._may_join, True
        if not may_join:
            return NOTHING_JOINED
        settings = self._settings.pipeline
        log_bytes = await self._terms.max_batch_bytes(self._partition.topic)
        largest_bytes = min(log_bytes, settings.limits.max_batch_bytes)
        return Joining(settings.joined_bytes, largest_bytes, settings.limits.max_records)

    async def _run(self, progress: LaneProgress, lane: ImportLane, limits: TimestampLimits, joining: Joining) -> None:
        pipeline = Pipeline(
            self._cluster,
            self._partition,
            progress,
            lane,
            self._settings.pipeline,
            self._meter,
            self._permit,
            TimestampRule(self._subscription.on_timestamp, limits, self._margin_ms),
            self._now_ms,
            joining,
        )
        self._forget_run()
        self._progress, self._pipeline = progress, pipeline
        if lane.status is not None:
            self._heard(lane.status, progress.position)
        self._state, self._error = LaneState.CATCHING_UP, None
        self._backoff.reset()
        await pipeline.run()

    def _heard(self, status: frames.LaneStatus, opened_at: int | None) -> None:
        """Word of the source's offsets; a lane that is new stands nowhere until it is open."""
        position = self._pipeline.settled.source_offset if self._pipeline is not None else opened_at
        if position is not None:
            log_range = LogRange(status.log_start, status.log_end, status.last_stable)
            self.watch = self.watch.heard(log_range, position, self._now_ms())

    def _opening(self, number: int, progress: LaneProgress | None) -> LaneOpen:
        return LaneOpen(
            lane=number,
            share=self._subscription.share,
            topic=self._lane.topic,
            partition=self._lane.partition,
            start=self._start if progress is None else StartAt("offset", progress.position),
            topic_id="" if progress is None else progress.topic_id,
            credit_bytes=self._settings.credit_bytes,
            max_batch_bytes=self._settings.pipeline.limits.max_batch_bytes,
            leader_epoch=-1 if progress is None else progress.source_leader_epoch,
            origin=self._origin(),
        )

    def _check(self, progress: LaneProgress, resume: Resume, first_source_offset: int) -> None:
        if first_source_offset != progress.position:
            raise LaneMisplaced(str(self._lane), progress.position, first_source_offset)
        self._check_foreign(resume)

    def _check_foreign(self, resume: Resume) -> None:
        """What others wrote since the checkpoint: counted once, however often recovery finds it.

        The operator's word covers what is there at the first recovery after it, and nothing later.
        """
        if self._accept_foreign:
            self._accepted_to, self._accept_foreign = resume.log_end, False
        new = [hole for hole in resume.foreign if hole[1] > max(self._foreign_seen, default=0)]
        self._foreign_writes += len(new)
        self._foreign_seen = (*self._foreign_seen, *(end for _, end in new))[-1:]
        if not self._reports_foreign:
            for first, end in resume.foreign:
                if end > self._accepted_to:
                    raise ForeignWrite(*self._partition, first, end)

    # --- asked from outside

    def view(self) -> OffsetView | None:
        """The map as far as it is durable, None while the lane has not begun in this process."""
        if self._progress is None or self._pipeline is None:
            return None
        settled = self._pipeline.settled
        return OffsetView(self._progress.map, settled.source_offset, settled.destination_offset)

    def status(self) -> LaneStatus:
        base = LaneStatus(
            self._lane,
            self._subscription.peer,
            self._partition.topic,
            self._state,
            *_explain(self._error),
            foreign_writes=self._foreign_writes,
            lost=self.lost if self._state is LaneState.STOPPED else None,
        )
        if self._pipeline is None or self._progress is None:
            return base
        return watched(self._with_positions(base, self._pipeline, self._progress), self.watch, self._now_ms())

    def _with_positions(self, base: LaneStatus, pipeline: Pipeline, progress: LaneProgress) -> LaneStatus:
        settled = pipeline.settled
        known = self._link_lane.status if self._link_lane is not None else None
        lag_records = None if known is None else max(0, known.last_stable - settled.source_offset)
        lag_s = _lag_s(lag_records, settled.source_timestamp_ms, self._now_ms())
        state = self._state
        if state is LaneState.CATCHING_UP and pipeline.has_caught_up and (lag_s or 0) < CATCHING_UP_LAG_S:
            state = LaneState.RUNNING
        return replace(
            base,
            state=state,
            source_position=settled.source_offset,
            source_end=known.last_stable if known else -1,
            source_log_end=known.log_end if known else -1,
            destination_end=settled.destination_offset,
            source_timestamp_ms=settled.source_timestamp_ms,
            lag_records=lag_records,
            lag_s=lag_s,
            records=settled.ordinal,
            size_bytes=self._size_bytes + settled.size_bytes,
            gaps=progress.position - progress.map.start - progress.map.records,
            producer_id=progress.producer.id,
            producer_epoch=progress.producer.epoch,
        )


def _explain(error: MeshError | None) -> tuple[str, str, str]:
    """Code, reason and remedy, as a status shows them."""
    if error is None:
        return "", "", ""
    return error.ended_code if isinstance(error, LaneEnded) else error.code, str(error), error.remedy


def _lag_s(lag_records: int | None, timestamp_ms: int, now_ms: int) -> float | None:
    if lag_records is None or (lag_records and timestamp_ms < 0):
        return None
    return max(0.0, (now_ms - timestamp_ms) / 1000) if lag_records else 0.0
