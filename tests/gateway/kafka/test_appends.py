"""The appends of one leader, as far as they need no broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.kafka.append_queue import Append, AppendQueue
from gateway.kafka.appends import LeaderAppends
from gateway.kafka.errors import AppendNotSent
from mesh.batch.stamp import Producer
from mesh.ids import Partition
from tests.support.batches import numbered, stamped

PLACE = Partition("departures", 0)


class _Connection:
    """Takes every request and answers none."""

    closed, usable, writable = False, True, True
    address = "broker-1:9092"

    def __init__(self) -> None:
        self.on_writable: Any = None
        self.sent = 0

    def send(self, api: object, parts: object) -> asyncio.Future[memoryview]:
        self.sent += 1
        return asyncio.get_running_loop().create_future()


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
