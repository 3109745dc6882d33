"""Which fetches go out for lanes that stand at the end of their logs, and how soon a new record is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from gateway.kafka.client import Purpose
from gateway.kafka.connection import Api
from gateway.kafka.fetch_message import ANSWER_HEAD, ANSWERED, ASKED, HEAD, FetchPart
from gateway.kafka.fetches import COLD, HOT_WAIT_S, WARM_S, LeaderFetches
from gateway.kafka.wire import read_length, uvarint
from mesh.testing.clock import run

TOPIC_ID = bytes(range(16))
WAY_S = 0.0002
"""Of a request, and of its answer."""
RECORD = b"a record"


class Broker:
    """Holds a fetch back as Kafka does: until a partition of it has a record, or its time is over."""

    address = "broker-1:9092"

    def __init__(self) -> None:
        self.written: dict[int, list[float]] = {}
        """When each record came, by partition."""
        self.requests: list[tuple[Purpose, Sequence[int]]] = []
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def write(self, number: int) -> None:
        self.written.setdefault(number, []).append(asyncio.get_running_loop().time())
        self._news.set()
        self._news = asyncio.Event()

    def fetches(self) -> LeaderFetches:
        config = SimpleNamespace(request_timeout_s=30.0, fetch_max_bytes=50 << 20)
        client: Any = SimpleNamespace(
            closed=False, config=config, spawn=self._spawn, connection=self._connection, gone=ConnectionAbortedError
        )
        return LeaderFetches(client, 1)

    async def close(self) -> None:
        await ended([*self._tasks])

    def _spawn(self, work: Any) -> None:
        self._tasks.add(task := asyncio.ensure_future(work))
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, node: int, purpose: Purpose) -> Any:
        async def request(api: Api, parts: Sequence[bytes], timeout_s: float) -> memoryview:
            return await self._answer(purpose, memoryview(b"".join(parts)))

        return SimpleNamespace(address=self.address, request=request)

    async def _answer(self, purpose: Purpose, body: memoryview) -> memoryview:
        wait_ms = HEAD.unpack_from(body)[1]
        count, at = read_length(body, HEAD.size + 1 + len(TOPIC_ID))
        asked = {each[0]: each[2] for each in (ASKED.unpack_from(body, at + n * ASKED.size) for n in range(count))}
        self.requests.append((purpose, [*asked]))
        await asyncio.sleep(WAY_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000):
                while not any(self._end(number) > offset for number, offset in asked.items()):
                    await self._news.wait()
        answer = [self._part(number, offset) for number, offset in asked.items()]
        await asyncio.sleep(WAY_S)
        topic = TOPIC_ID + uvarint(len(answer) + 1) + b"".join(answer) + b"\0"
        return memoryview(b"\0" + ANSWER_HEAD.pack(0, 0, 0) + b"\2" + topic + b"\0")

    def _part(self, number: int, offset: int) -> bytes:
        end = self._end(number)
        records = RECORD * (end - offset)
        head = ANSWERED.pack(number, 0, end, end, 0) + b"\1" + (-1).to_bytes(4, "big", signed=True)
        return head + uvarint(len(records) + 1) + records + b"\0"

    def _end(self, number: int) -> int:
        return len(self.written.get(number, ()))


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class Lanes:
    """Each reads one partition, again and again."""

    def __init__(self, broker: Broker, lanes: int) -> None:
        self.broker = broker
        self.delays_s: list[float] = []
        fetches = broker.fetches()
        self._tasks = [asyncio.ensure_future(self._read(fetches, number)) for number in range(lanes)]

    async def _read(self, fetches: LeaderFetches, number: int) -> None:
        offset = 0
        while True:
            answer = await fetches.ask(FetchPart(TOPIC_ID, number, offset, 0, 0, 1 << 20), 5.0)
            heard_s = asyncio.get_running_loop().time()
            count = len(answer.records) // len(RECORD)
            self.delays_s += [heard_s - at_s for at_s in self.broker.written.get(number, [])[offset : offset + count]]
            offset += count

    async def write(self, records: int, every_s: float, lanes: int) -> list[tuple[Purpose, Sequence[int]]]:
        """So many records, to the first `lanes` by turns; the requests that were sent meanwhile."""
        before = len(self.broker.requests)
        for number in range(records):
            self.broker.write(number % lanes)
            await asyncio.sleep(every_s)
        return self.broker.requests[before:]

    async def close(self) -> None:
        await ended(self._tasks)
        await self.broker.close()


def test_lanes_that_get_a_record_now_and_then_cost_about_a_request_each() -> None:
    async def story() -> None:
        lanes = Lanes(Broker(), 4)
        await lanes.write(40, 0.002, 4)
        requests = await lanes.write(1000, 0.002, 4)
        assert len(requests) < 1100
        assert len(lanes.delays_s) > 1000
        assert max(lanes.delays_s) < 0.003
        await lanes.close()

    run(story())


def test_a_thousand_idle_lanes_are_not_asked_about_with_each_record_of_a_busy_one() -> None:
    async def story() -> None:
        lanes = Lanes(Broker(), 1000)
        await asyncio.sleep(3)
        requests = await lanes.write(1000, 0.002, 3)
        many = [numbers for _, numbers in requests if len(numbers) > 4]
        assert len(many) < 30, "in two seconds, of which each needs six"
        assert len(requests) < 1200
        assert max(lanes.delays_s) < 0.003 + HOT_WAIT_S
        await lanes.close()

    run(story())


def test_a_lane_that_has_come_to_rest_waits_with_the_others() -> None:
    async def story() -> None:
        lanes = Lanes(Broker(), 10)
        await lanes.write(100, 0.002, 1)
        await asyncio.sleep(10 * WARM_S)
        requests = await lanes.write(1, 2.0, 10)
        assert {purpose for purpose, _ in requests} <= {*COLD, Purpose.FETCH_HOT_A}
        assert len(requests) < 20
        assert max(lanes.delays_s) < 0.003
        await lanes.close()

    run(story())


def test_records_that_lie_there_are_read_on_at_once() -> None:
    async def story() -> None:
        broker = Broker()
        fetches = broker.fetches()
        for _ in range(2):
            broker.write(0)
        first = await fetches.ask(FetchPart(TOPIC_ID, 0, 0, 0, 0, 1 << 20), 5.0)
        assert first.last_stable == 2
        behind = await fetches.ask(FetchPart(TOPIC_ID, 0, 1, 0, 0, 1 << 20), 5.0)
        assert len(behind.records) == len(RECORD)
        purposes = [purpose for purpose, _ in broker.requests]
        assert purposes == [Purpose.FETCH_HOT_A, Purpose.FETCH_HOT_A]
        counted = Counter(numbers[0] for _, numbers in broker.requests)
        assert counted == {0: 2}

    run(story())
