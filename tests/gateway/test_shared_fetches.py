from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.shared_fetches import KEPT_S, SharedFetches
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import Partition, TopicId
from mesh.log import Fetched, LogRange
from mesh.ports import Source
from mesh.testing.clock import run

PLACE = Partition("orders", 0)
TOPIC = TopicId("a" * 32)
RANGE = LogRange(0, 100, 100)


def answer(data: bytes = b"x" * 100, buffer_bytes: int = 0) -> Fetched:
    held = memoryview(bytearray(data + bytes(buffer_bytes)))
    return Fetched(held[: len(data)], (), RANGE)


@dataclass
class Cluster:
    """A source whose answers the test gives, one by one."""

    asked: list[tuple[int, asyncio.Future[Fetched]]] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        future: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
        self.asked.append((offset, future))
        self.more.set()
        return await future

    async def range(self, partition: Partition) -> LogRange:
        return RANGE

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int | None:
        return None

    async def asks(self, count: int) -> None:
        """Wait until so many were made."""
        while len(self.asked) < count:
            self.more.clear()
            await self.more.wait()


class Scene:
    """Lanes that read `PLACE` at once, over one cluster."""

    def __init__(self, group: asyncio.TaskGroup, stack: ExitStack, most_bytes: int) -> None:
        self.cluster = Cluster()
        self.answered_by: Counter[str] = Counter()
        self.fetches = SharedFetches(self.cluster, most_bytes, lambda by: self.answered_by.update([by]))
        self.group = group
        self._stack = stack

    def lane(self) -> Source:
        return self._stack.enter_context(self.fetches.reading(PLACE))

    def ask(self, lane: Source, offset: int = 5, epoch: int = 3, wait_s: float = 1.0) -> asyncio.Task[Fetched]:
        return self.group.create_task(lane.fetch(PLACE, offset, TOPIC, 1000, wait_s, epoch))

    async def answered(self, lane: Source, offset: int, fetched: Fetched, epoch: int = 3) -> Fetched:
        """Ask and have the cluster answer it."""
        count = len(self.cluster.asked)
        task = self.ask(lane, offset, epoch)
        await self.cluster.asks(count + 1)
        self.cluster.asked[-1][1].set_result(fetched)
        return await task


@asynccontextmanager
async def scene(most_bytes: int = 1000) -> AsyncIterator[Scene]:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        with ExitStack() as stack:
            yield Scene(group, stack, most_bytes)


async def test_equal_asks_under_way_are_one() -> None:
    async with scene() as at:
        asks = [at.ask(at.lane()) for _ in range(3)]
        other = [at.ask(at.lane(), offset=6), at.ask(at.lane(), epoch=4)]
        await at.cluster.asks(3)
        for number, (_, future) in enumerate(at.cluster.asked):
            future.set_result(answer(b"%d" % number))
        assert [bytes((await task).data) for task in [*asks, *other]] == [b"0", b"0", b"0", b"1", b"2"]
        assert at.answered_by == {"cluster": 3, "lane": 2}


async def test_one_that_is_cancelled_takes_nobody_with_it() -> None:
    async with scene() as at:
        first, second, third = (at.ask(at.lane()) for _ in range(3))
        await at.cluster.asks(1)
        second.cancel()
        await asyncio.wait([second])
        first.cancel()
        await at.cluster.asks(2)
        at.cluster.asked[1][1].set_result(answer(b"again"))
        assert bytes((await third).data) == b"again"
        assert first.cancelled()


async def test_an_error_is_for_the_one_who_asked() -> None:
    async def unlucky(lane: Source) -> None:
        with pytest.raises(ClusterUnreachable):
            await lane.fetch(PLACE, 5, TOPIC, 1000, 1.0, 3)

    async with scene() as at:
        at.group.create_task(unlucky(at.lane()))
        second = at.ask(at.lane())
        await at.cluster.asks(1)
        at.cluster.asked[0][1].set_exception(ClusterUnreachable("fake", "cut"))
        await at.cluster.asks(2)
        at.cluster.asked[1][1].set_result(answer(b"well"))
        assert bytes((await second).data) == b"well"


async def test_a_lane_a_little_behind_takes_what_another_fetched() -> None:
    async with scene() as at:
        ahead, behind = at.lane(), at.lane()
        given = await at.answered(ahead, 5, answer())
        assert await behind.fetch(PLACE, 5, TOPIC, 1000, 1.0, 3) is given
        assert at.answered_by == {"cluster": 1, "lane": 1}


async def test_a_lane_that_got_no_further_by_an_answer_is_not_given_it_again() -> None:
    async with scene() as at:
        ahead, stuck = at.lane(), at.lane()
        given = await at.answered(ahead, 5, answer())
        assert await stuck.fetch(PLACE, 5, TOPIC, 1000, 1.0, 3) is given
        assert bytes((await at.answered(stuck, 5, answer(b"more"))).data) == b"more"
        assert at.answered_by == {"cluster": 2, "lane": 1}


@pytest.mark.parametrize(("epoch", "wait_s", "topic"), [(-1, 1.0, TOPIC), (3, 0.0, TOPIC), (3, 1.0, None)])
async def test_who_does_not_say_what_was_read_asks_the_cluster(
    epoch: int, wait_s: float, topic: TopicId | None
) -> None:
    async with scene() as at:
        lanes = at.lane(), at.lane()
        await at.answered(lanes[0], 5, answer())
        task = asyncio.ensure_future(lanes[1].fetch(PLACE, 5, topic, 1000, wait_s, epoch))
        await at.cluster.asks(2)
        at.cluster.asked[1][1].set_result(answer(b"fresh"))
        assert bytes((await task).data) == b"fresh"


async def test_a_lane_gets_nothing_that_was_asked_for_before_it_began() -> None:
    async with scene() as at:
        early = at.lane(), at.lane()
        await at.answered(early[0], 5, answer(b"old"))
        under_way = at.ask(early[0], 8)
        await at.cluster.asks(2)
        late = at.lane()
        assert bytes((await at.answered(late, 5, answer(b"new"))).data) == b"new"
        assert bytes((await at.answered(late, 8, answer(b"newer"))).data) == b"newer"
        assert bytes((await early[1].fetch(PLACE, 8, TOPIC, 1000, 1.0, 3)).data) == b"newer"
        at.cluster.asked[1][1].set_result(answer(b"old"))
        await under_way


async def test_nothing_is_kept_for_a_single_lane_nor_where_there_was_nothing() -> None:
    async with scene() as at:
        lane = at.lane()
        await at.answered(lane, 5, answer())
        assert at.fetches.kept_bytes == 0
        at.lane()
        await at.answered(lane, 6, answer(b""))
        assert at.fetches.kept_bytes == 0


def test_what_is_kept_is_bounded_by_whole_buffers_and_goes_with_time() -> None:
    async def scenario() -> None:
        async with scene(most_bytes=1000) as at:
            lanes = at.lane(), at.lane()
            for offset in range(20):
                await at.answered(lanes[0], offset, answer(buffer_bytes=90))
                assert at.fetches.kept_bytes <= 1000
            assert at.fetches.kept_bytes == 5 * 190
            small = await at.answered(lanes[0], 30, answer(buffer_bytes=5000))
            assert memoryview(small.data.obj).nbytes == 100, "a small part of a large buffer is copied out of it"
            await asyncio.sleep(KEPT_S)
            assert repr(at.fetches) == "<SharedFetches 0 under way, 0 kept, 0 bytes>"

    run(scenario())
