"""The appends of one leader, as far as they need no broker."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.kafka.append_queue import Append, AppendQueue
from gateway.kafka.appends import LeaderAppends
from gateway.kafka.connection import Api, Connection
from gateway.kafka.errors import AppendNotSent
from mesh.batch.stamp import Producer
from mesh.cluster_errors import AppendUnknown
from mesh.ids import Partition, TopicId
from tests.support.batches import numbered, stamped

PLACE = Partition("departures", 0)
TOPIC_ID = TopicId("0123456789abcdef" * 2)


class _Connection:
    """Takes every request and answers none."""

    closed, usable, writable = False, True, True
    address = "broker-1:9092"

    def __init__(self, *, takes_topic_ids: bool = False) -> None:
        self.takes_topic_ids = takes_topic_ids
        self.versions: list[int] = []
        self.requests: list[bytes] = []
        self.answers: list[asyncio.Future[memoryview]] = []

    @property
    def sent(self) -> int:
        return len(self.answers)

    def abort(self, why: str) -> None:
        pass

    def when_writable(self, call: Callable[[], None]) -> None:
        pass

    def send(self, api: Api, parts: list[bytes]) -> asyncio.Future[memoryview]:
        self.versions.append(api.version)
        self.requests.append(b"".join(parts))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


def _leader(connection: _Connection | Connection, may_write: Callable[[], bool] = lambda: True) -> LeaderAppends:
    config = SimpleNamespace(request_timeout_s=1.0)
    client: Any = SimpleNamespace(config=config, forget=lambda topic: None)
    there: Any = connection
    return LeaderAppends(client, there, _unexpected, _unexpected, lambda leader: None, may_write)


def _queued(leader: LeaderAppends, number: int, topic_id: TopicId | None = None) -> asyncio.Future[int]:
    partition = Partition("departures", number)
    queue = AppendQueue(partition, leader=leader, topic_id=topic_id)
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    queue.add(Append(partition, stamped(Producer(7, 0), 0, numbered(0)), None, answer, deadline=100))
    leader.wake(queue)
    return answer


async def test_leave_to_write_is_asked_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be stopped between two of them, and the lanes be another's when it goes on."""
    monkeypatch.setattr("gateway.kafka.appends.MAX_REQUEST_BYTES", 1)
    leave = iter([True, False])
    connection = _Connection()
    leader = _leader(connection, lambda: next(leave))
    first, second = _queued(leader, 0), _queued(leader, 1)
    with pytest.raises(AppendNotSent):
        await second
    assert connection.sent == 1
    assert not first.done()
    leader._end("the test is over")
    assert isinstance(first.exception(), AppendUnknown)


class _Transport(asyncio.Transport):
    """Takes every byte, at its own pace."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def writelines(self, list_of_data: Any) -> None:
        self.requests += 1

    def abort(self) -> None:
        pass


async def test_all_who_share_a_connection_go_on_when_it_takes_more() -> None:
    """Lanes and their state go over one: of a hundred lanes none went on where only the last one was told."""
    connection, transport = Connection("broker-1:9092", "mesh", 1 << 20), _Transport()
    connection.connection_made(transport)
    connection.pause_writing()
    leaders = [_leader(connection), _leader(connection)]
    answers = [_queued(leader, number) for number, leader in enumerate(leaders)]
    await asyncio.sleep(0.01)
    assert transport.requests == 0
    connection.resume_writing()
    await asyncio.sleep(0.01)
    assert transport.requests == 2
    for leader, answer in zip(leaders, answers, strict=True):
        leader._end("the test is over")
        assert isinstance(answer.exception(), AppendUnknown)


async def test_an_append_goes_to_the_topic_whose_log_was_asked_by_its_id() -> None:
    connection = _Connection(takes_topic_ids=True)
    leader = _leader(connection)
    answers = [_queued(leader, 0, TOPIC_ID), _queued(leader, 1), _queued(leader, 2, TOPIC_ID)]
    await asyncio.sleep(0.01)
    assert connection.versions == [13, 9]
    assert bytes.fromhex(TOPIC_ID) in connection.requests[0]
    assert b"departures" not in connection.requests[0]
    assert b"departures" in connection.requests[1]
    connection.answers[0].set_result(memoryview(_refused(0, 2)))
    for answer in (answers[0], answers[2]):
        with pytest.raises(AppendNotSent, match="no topic of the id"):
            await answer
    leader._end("the test is over")
    assert isinstance(answers[1].exception(), AppendUnknown)


async def test_a_broker_that_takes_no_ids_gets_names() -> None:
    connection = _Connection()
    leader = _leader(connection)
    answer = _queued(leader, 0, TOPIC_ID)
    await asyncio.sleep(0.01)
    assert connection.versions == [9]
    leader._end("the test is over")
    assert isinstance(answer.exception(), AppendUnknown)


def _refused(*numbers: int) -> bytes:
    """UNKNOWN_TOPIC_ID for each partition."""
    parts = b"".join(struct.pack(">ihqqq", number, 100, -1, -1, -1) + b"\1\0\0" for number in numbers)
    return b"\0\2" + bytes.fromhex(TOPIC_ID) + bytes([len(numbers) + 1]) + parts + b"\0" + bytes(4) + b"\0"


async def test_what_waited_when_leave_to_write_ended_is_refused_and_never_sent() -> None:
    """As after a SIGSTOP: the queue is as it was, the lanes may be another gateway's."""
    connection, may_write = _Connection(), [True]
    client: Any = SimpleNamespace(config=SimpleNamespace(request_timeout_s=1.0))
    there: Any = connection
    leader = LeaderAppends(client, there, _unexpected, _unexpected, _unexpected, lambda: may_write[0])
    queue = AppendQueue(PLACE, leader=leader)
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    queue.add(Append(PLACE, stamped(Producer(7, 0), 0, numbered(0)), None, answer, deadline=100))
    leader.wake(queue)
    may_write[0] = False  # before the event loop comes round
    with pytest.raises(AppendNotSent):
        await answer
    assert connection.sent == 0


def _unexpected(*_: object) -> None:
    raise AssertionError
