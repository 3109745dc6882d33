from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

import pytest

from gateway.exporter import ExportSettings, export_lane
from gateway.link.lanes import ExportLane
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.ids import Partition, ShareName, TopicId
from mesh.link.frames import Acknowledgement, Credit, LaneEnd, LaneOpen, LaneOpened, LaneStatus
from mesh.link.lane import Lane
from mesh.log import Fetched, LogRange
from mesh.policy import ShareNotAvailable
from mesh.segment import Segment
from mesh.shares import StartAt
from mesh.testing.cluster import FakeCluster
from tests.support.records import TIMESTAMP_MS

EARLIEST = StartAt("earliest")


class _Side:
    """A session that sends nothing, and remembers what was said of the log."""

    joins = False

    def __init__(self) -> None:
        self.told: list[object] = []

    def send_on(self, lane: Lane, frame: LaneStatus | Credit | Acknowledgement | LaneEnd) -> None:
        self.told.append(frame)

    def send_opened(self, lane: Lane, opened: LaneOpened) -> None:
        self.told.append(opened)

    async def send_segment(self, lane: Lane, segment: Segment) -> None: ...


class _Epochs:
    """A source of three answers that remembers which epochs it was told; then it waits for ever."""

    def __init__(self, answers: list[Fetched]) -> None:
        self.told: list[tuple[int, int]] = []
        self.asked_bytes: list[int] = []
        self.exhausted = asyncio.Event()
        self._answers = deque(answers)

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        self.told.append((offset, last_epoch))
        self.asked_bytes.append(max_bytes)
        if not self._answers:
            self.exhausted.set()
            await asyncio.Event().wait()
        return self._answers.popleft()

    async def range(self, partition: Partition) -> LogRange:
        return LogRange(0, 5, 5)

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int | None:
        return None


def _batch(base_offset: int, count: int, epoch: int, size: int = 1) -> bytes:
    batch = encode([Record(0, TIMESTAMP_MS, None, b"v" * size)] * count, base_offset=base_offset)
    return batch[:12] + epoch.to_bytes(4, "big") + batch[16:]


async def test_a_lane_reads_on_with_the_epoch_of_the_last_batch_it_read() -> None:
    fake = FakeCluster()
    await fake.ports.topics.create("orders", 1, {})
    held = LogRange(0, 5, 5)
    full, empty = memoryview(_batch(0, 2, 3) + _batch(2, 2, 7)), memoryview(b"")
    source = _Epochs(
        [Fetched(full, (), held), Fetched(empty, (), held), Fetched(memoryview(_batch(4, 1, 9)), (), held)]
    )
    cluster = replace(fake.ports, source=source)
    lane = Lane(
        LaneOpen(0, ShareName("flights"), "orders", 0, StartAt("earliest")), importing=False, credit_bytes=1 << 30
    )
    async with asyncio.TaskGroup() as group:
        exporting = group.create_task(export_lane(cluster, ExportLane(_Side(), lane), lambda: None, ExportSettings()))
        async with asyncio.timeout(5):
            await source.exhausted.wait()
        exporting.cancel()
    assert source.told == [(0, -1), (4, 7), (4, 7), (5, 9)]


@pytest.mark.parametrize(("start", "told"), [(StartAt("offset", 4), (4, 6)), (StartAt("earliest"), (0, -1))])
async def test_a_lane_that_goes_on_begins_with_the_epoch_that_the_importer_read_last(
    start: StartAt, told: tuple[int, int]
) -> None:
    fake, source = FakeCluster(), _Epochs([])
    await fake.ports.topics.create("orders", 1, {})
    opening = LaneOpen(0, ShareName("flights"), "orders", 0, start, leader_epoch=6)
    lane = Lane(opening, importing=False, credit_bytes=1 << 30)
    async with asyncio.TaskGroup() as group:
        cluster = replace(fake.ports, source=source)
        exporting = group.create_task(export_lane(cluster, ExportLane(_Side(), lane), lambda: None, ExportSettings()))
        async with asyncio.timeout(5):
            await source.exhausted.wait()
        exporting.cancel()
    assert source.told == [told]


class _Judge:
    """Lets a lane be read until it has been asked `times` times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.denied = asyncio.Event()

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.denied.set()
            raise ShareNotAvailable("flights")


async def test_a_lane_reads_when_half_of_its_window_is_free_or_after_a_while_what_there_is() -> None:
    fake, source = FakeCluster(), _Epochs([])
    await fake.ports.topics.create("orders", 1, {})
    cluster = replace(fake.ports, source=source)
    for free_bytes, wait_s in ((500, 60.0), (1, 0.05)):
        lane = Lane(replace(_opening(), credit_bytes=1000), importing=False, credit_bytes=free_bytes - 1)
        export = ExportLane(_Side(), lane)
        source.exhausted.clear()
        async with asyncio.TaskGroup() as group:
            exporting = group.create_task(export_lane(cluster, export, lambda: None, ExportSettings(wait_s=wait_s)))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not source.exhausted.is_set()
            lane.credit_bytes += 1
            export.credited()
            async with asyncio.timeout(5):
                await source.exhausted.wait()
            exporting.cancel()


async def test_a_lane_with_a_small_window_asks_for_as_much_as_a_batch_like_the_last_one_takes() -> None:
    fake, side = FakeCluster(), _Side()
    await fake.ports.topics.create("orders", 1, {})
    large, small = (memoryview(_batch(offset, 1, 3, size)) for offset, size in ((0, 5000), (1, 10)))
    source = _Epochs([Fetched(each, (), LogRange(0, 2, 2)) for each in (large, small)])
    lane = Lane(replace(_opening(), credit_bytes=1000), importing=False, credit_bytes=1000)
    async with asyncio.TaskGroup() as group:
        cluster = replace(fake.ports, source=source)
        exporting = group.create_task(export_lane(cluster, ExportLane(side, lane), lambda: None, ExportSettings()))
        async with asyncio.timeout(5):
            await source.exhausted.wait()
        exporting.cancel()
    assert source.asked_bytes == [1000, len(large) * 9 // 8, 1000]


async def test_the_log_is_spoken_of_only_where_its_records_do_not_show_it() -> None:
    fake, side, empty = FakeCluster(), _Side(), memoryview(b"")
    await fake.ports.topics.create("orders", 1, {})
    batches = [memoryview(_batch(offset, 1, 3)) for offset in range(4)]
    ranges = {
        "shown by the record": LogRange(0, 1, 1),
        "further": LogRange(0, 9, 9),
        "an older answer": LogRange(0, 8, 8),
        "begins later": LogRange(1, 4, 4),
        "shorter": LogRange(1, 4, 4),
        "the same": LogRange(1, 4, 4),
    }
    data = [*batches, empty, empty]
    source = _Epochs([Fetched(each, (), range_) for each, range_ in zip(data, ranges.values(), strict=True)])
    lane = Lane(_opening(), importing=False, credit_bytes=1 << 30)
    async with asyncio.TaskGroup() as group:
        cluster = replace(fake.ports, source=source)
        exporting = group.create_task(export_lane(cluster, ExportLane(side, lane), lambda: None, ExportSettings()))
        async with asyncio.timeout(5):
            await source.exhausted.wait()
        exporting.cancel()
    told = [(frame.log_start, frame.log_end) for frame in side.told if isinstance(frame, LaneStatus)]
    assert told == [(0, 9), (1, 4)]


async def test_nothing_is_told_of_a_log_that_may_not_be_read_by_its_id() -> None:
    fake, side = FakeCluster(), _Side()
    await fake.ports.topics.create("orders", 1, {})
    lane = ExportLane(side, Lane(_opening(), importing=False, credit_bytes=1 << 30))

    def by_id() -> None:
        if lane.topic_id:
            raise ShareNotAvailable("flights")

    with pytest.raises(ShareNotAvailable):
        await export_lane(fake.ports, lane, by_id, ExportSettings())
    assert side.told == []


@pytest.mark.parametrize("credit_bytes", [0, 1 << 30])
async def test_a_grant_that_ends_while_a_lane_waits_ends_it_without_another_word(credit_bytes: int) -> None:
    fake, side, judge = FakeCluster(), _Side(), _Judge(3)
    await fake.ports.topics.create("orders", 1, {})
    lane = ExportLane(side, Lane(_opening(), importing=False, credit_bytes=credit_bytes))
    async with asyncio.timeout(5):
        with pytest.raises(ShareNotAvailable):
            await export_lane(fake.ports, lane, judge, ExportSettings(wait_s=0.01))
    assert [type(frame) for frame in side.told] == [LaneOpened]


async def test_a_loss_is_told_only_to_whoever_may_still_read() -> None:
    fake, side, judge = FakeCluster(), _Side(), _Judge(2)
    topic = await fake.ports.topics.create("orders", 1, {})
    opening = replace(_opening(StartAt("offset", 3)), topic_id=topic.topic_id[::-1])
    with pytest.raises(ShareNotAvailable):
        await export_lane(fake.ports, ExportLane(side, Lane(opening, importing=False)), judge, ExportSettings())


def _opening(start: StartAt = EARLIEST) -> LaneOpen:
    return LaneOpen(0, ShareName("flights"), "orders", 0, start)
