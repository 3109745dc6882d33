"""One lane from a source cluster to a destination cluster over links in memory, which are made anew as they break.

async with mirroring(Mirror(source, destination)) as mirror:
    await mirror.until_copied()
await mirror.check(log)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random

from gateway.exporter import ExportSettings, export_lane
from gateway.importer.lane import LaneRunner, LaneSettings
from gateway.importer.pipeline import PipelineSettings
from gateway.link.lanes import ExportLane
from gateway.link.session import Session
from gateway.peers.public import public
from mesh.batch.header import HEADER_BYTES, split
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import Record, check_records, records_of
from mesh.errors import MeshError
from mesh.ids import LaneId, OrgId, Partition, ShareName, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.lanes.coalesce import JOINED_BYTES
from mesh.lanes.status import LaneState, LaneStatus
from mesh.log import Fetched
from mesh.offsets.answers import Exact, Foreign, InGap
from mesh.policy import ShareNotAvailable
from mesh.ports import Cluster, Source
from mesh.shares import OnForeignWrite, OnLoss, OnTimestamp, StartAt, Subscription, TopicMapping
from mesh.testing.cluster import FakeCluster
from mesh.testing.streams import Faults
from tests.support.batches import plain_batch
from tests.support.failing import FailingCluster
from tests.support.sessions import Export, Pair, Side, joined
from tests.support.source_log import SourceLog

SOURCE, DESTINATION = TopicName("departures"), TopicName("acme.departures")
FROM, TO = Partition(SOURCE, 0), Partition(DESTINATION, 0)
LANE = LaneId(SubscriptionName("flights"), SOURCE, 0)
PEER = OrgId("acme.example")


class ClosedAtRandom(Random):
    """Every pause is as long as it can be."""

    def random(self) -> float:
        return 0.999


@dataclass
class Mirror:
    source: FakeCluster
    destination: Cluster
    faults: Iterator[Faults] = field(default_factory=lambda: iter(()))
    """Those of the first links; later ones have none."""
    on_foreign_write: OnForeignWrite = OnForeignWrite.STOP
    on_loss: OnLoss = OnLoss.STOP
    on_timestamp: OnTimestamp = OnTimestamp.STOP
    now_ms: Callable[[], int] = lambda: 0
    """The importer's clock."""
    start: StartAt = field(default_factory=StartAt)
    fetch_bytes: int = 300
    """Small, so that a short log makes many segments."""
    credit_bytes: int = 2000
    checkpoint_bytes: int = 64 << 20
    joined_bytes: int = JOINED_BYTES
    """0: each batch of the source is one append."""
    is_granted: bool = True
    export: Export | None = None
    fake: FakeCluster | None = None
    """The fake behind `destination`, where it is one that fails."""
    accept_foreign: bool = False
    subscribed_ms: int = 0
    """Of the subscription."""
    log: SourceLog | None = None
    """What the source holds, where it has aborted transactions."""
    mapping: TopicMapping = field(default_factory=lambda: TopicMapping(SOURCE, DESTINATION))
    pair: Pair | None = None
    links_made: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    runner: LaneRunner = field(init=False)

    # --- gateway.importer.lane.PeerLinks

    async def wait(self, peer: OrgId, key: str = "") -> Session:
        while self.pair is None or not self.pair.acceptor.session.is_open:
            await self._changed.wait()
        return self.pair.acceptor.session

    def change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def lane(self) -> LaneId:
        return LANE._replace(topic=self.mapping.source_topic)

    # --- running

    def start_runner(self) -> LaneRunner:
        pipeline = PipelineSettings(
            DEFAULT_LIMITS, check_records, self.checkpoint_bytes, joined_bytes=self.joined_bytes
        )
        settings = LaneSettings(pipeline, self.credit_bytes, 0.1, 1.0)
        subscription = Subscription(
            LANE.subscription,
            PEER,
            ShareName("flights"),
            (self.mapping,),
            self.start,
            on_foreign_write=self.on_foreign_write,
            on_loss=self.on_loss,
            on_timestamp=self.on_timestamp,
            subscribed_ms=self.subscribed_ms,
        )
        self.runner = LaneRunner(
            self.destination,
            self,
            subscription,
            self.lane,
            settings,
            accept_foreign=self.accept_foreign,
            now_ms=self.now_ms,
            random=ClosedAtRandom(),
        )
        return self.runner

    async def keep_linking(self) -> None:
        while True:
            exporter = Side(True, export=self._export)
            async with joined(exporter, Side(False), next(self.faults, None)) as self.pair:
                self.links_made += 1
                await self.pair.open()
                self.change()
                await self.pair.over()
            await asyncio.sleep(0.5)

    async def _export(self, session: Session, lane: ExportLane) -> None:
        if self.export is not None:
            await self.export(session, lane)
            return
        settings = ExportSettings(self.fetch_bytes, wait_s=1.0)
        cluster = replace(self.source.ports, source=_Aborts(self.source.ports.source, self.log)) if self.log else None
        try:
            await export_lane(cluster or self.source.ports, lane, self.authorize, settings)
        except MeshError as error:
            raise public(error, "flights") from error

    def authorize(self) -> None:
        if not self.is_granted:
            raise ShareNotAvailable("flights")

    # --- waiting

    async def until(self, condition: Callable[[LaneStatus], bool]) -> LaneStatus:
        """The status, as soon as the condition holds. The loop's time skips, so it is asked often."""
        for _ in range(3000):
            status = self.runner.status()
            if condition(status):
                return status
            await asyncio.sleep(0.05)
        raise AssertionError(f"it did not come: {self.runner.status()}")

    async def until_copied(self) -> LaneStatus:
        end = self.source.log(FROM).range.last_stable
        return await self.until(lambda status: status.source_position == end and status.state is not LaneState.WAITING)

    async def until_stopped(self) -> LaneStatus:
        return await self.until(lambda status: status.state is LaneState.STOPPED)

    def grow(self, log: SourceLog, records: int = 2) -> None:
        """One more batch at the source."""
        log.append(list(range(records)), records)
        self.source.put_raw(FROM, log.batches[-1].data)
        self.source.set_last_stable(FROM, None)

    def heal(self) -> None:
        """Nothing fails any more."""
        for cluster in (self.source, self.fake):
            if isinstance(cluster, FailingCluster):
                cluster.fail_no_more()

    # --- judging

    async def check(self, log: SourceLog, foreign: frozenset[int] = frozenset()) -> None:
        """Both logs hold the same visible records, the map answers for each offset, and what is stored agrees."""
        self.heal()
        copied = await records_of_partition(self.destination, TO)
        own = [(offset, record) for offset, record in copied if offset not in foreign]
        end = readable_end(log)
        visible = [offset for offset in sorted(log.visible) if offset < end]
        assert [record[1:] for _, record in own] == [log.visible[offset][1:] for offset in visible]
        stored = load_lane(LANE, await self.destination.lanes.load(prefix(LANE)))
        assert stored is not None
        checkpoint, offset_map = stored
        assert checkpoint.source_position == end, "the lane did not keep how far it came"
        places = dict(zip(visible, (offset for offset, _ in own), strict=True))
        following: int | None = None
        for offset in reversed(range(offset_map.start, end)):
            if offset in places:
                following = places[offset]
                assert offset_map.translate(offset) == Exact(following)
                assert offset_map.translate_back(following) == Exact(offset)
            else:
                assert offset_map.translate(offset) == InGap(log.gaps[offset], following)
        for offset in foreign:
            if offset_map.destination_start <= offset < offset_map.destination_offset:
                assert isinstance(offset_map.translate_back(offset), Foreign)


@asynccontextmanager
async def mirroring(mirror: Mirror) -> AsyncIterator[Mirror]:
    """The lane runs, and links are made; both end with the block."""
    async with asyncio.TaskGroup() as group:
        linking = group.create_task(mirror.keep_linking())
        running = group.create_task(mirror.start_runner().run())
        try:
            yield mirror
        finally:
            # As the daemon stops: lanes first, links after. A failure of the last word that a lane stores would only
            # say that it was not stored.
            mirror.heal()
            running.cancel()
            await asyncio.wait([running])
            linking.cancel()


async def records_of_partition(cluster: Cluster, partition: Partition) -> list[tuple[int, Record]]:
    found: list[tuple[int, Record]] = []
    position, end, _ = await cluster.source.range(partition)
    while position < end:
        fetched = await cluster.source.fetch(partition, position, None, 1 << 20, 0)
        for header, batch in split(fetched.data):
            for record in records_of(header, batch[HEADER_BYTES:]):
                offset = header.base_offset + record.offset_delta
                if offset >= position:
                    found.append((offset, record))
            position = header.next_offset
    return found


class _Aborts:
    """A source that names the aborted transactions that overlap an answer, as a broker does."""

    def __init__(self, source: Source, log: SourceLog) -> None:
        self._source = source
        self._log = log
        self.range = source.range
        self.offset_at = source.offset_at

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        fetched = await self._source.fetch(partition, offset, topic_id, max_bytes, wait_s, last_epoch)
        first = next((header.base_offset for header, _ in split(fetched.data)), offset)
        at = next((i for i, batch in enumerate(self._log.batches) if batch.base_offset >= first), None)
        return fetched if at is None else replace(fetched, aborted=self._log.answer(at).aborted)


def readable_end(log: SourceLog) -> int:
    """Where read_committed ends; a log cannot tell what lies behind its last batch."""
    return max((batch.next_offset for batch in log.batches if batch.next_offset <= log.last_stable), default=0)


async def source_of(log: SourceLog) -> FakeCluster:
    """A cluster whose source topic holds `log`."""
    fake = FakeCluster(cluster_id="source")
    await fake.ports.topics.create(SOURCE, 1, {})
    for batch in log.batches:
        fake.put_raw(FROM, batch.data)
    fake.set_last_stable(FROM, readable_end(log))
    return fake


async def destination(**options: object) -> FakeCluster:
    fake = FakeCluster(cluster_id="destination", **options)  # type: ignore[arg-type]
    await fake.ports.topics.create(DESTINATION, 1, {})
    return fake


def dense(batches: int, records: int = 3) -> SourceLog:
    """A plain log."""
    log = SourceLog()
    for _ in range(batches):
        log.append(list(range(records)), records)
    return log


def holey(batches: int) -> SourceLog:
    """A log in which every second batch has holes, with markers and skipped offsets between."""
    log = SourceLog()
    for number in range(batches):
        log.append([0, 2], 4) if number % 2 else log.append([0, 1, 2], 3)
        if number % 3 == 2:
            log.append([0, 1], 2, producer_id=number)
            log.mark(number, number % 2)
        if number % 4 == 3:
            log.skip(2)
    return log


def intruder(*values: bytes) -> bytes:
    """A batch of somebody who should not write here."""
    return plain_batch(list(values) or [b"intruder"])
