"""Records from any thread to the client in its thread, many at a time: a crossing for each would cost the most of all.

A thread puts a record into a queue; whoever finds it idle starts the one task that hands the records over, in order.
The queue is bounded, and the task waits for the client's own room, so a fast thread waits in `send`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from functools import partial
from threading import Condition
from typing import NamedTuple

from mesh.local.v1 import local_pb2
from mesh.sdk.background import loop
from mesh.sdk.client import Client
from mesh.sdk.values import Published

MOST_QUEUED = 2_000


class _Handed(NamedTuple):
    topic: str
    message: local_pb2.NewRecord
    partition: int | None
    result: Future[Published]


class Sender:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: deque[_Handed] = deque()
        self._changed = Condition()
        self._task: Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Sender {len(self._queue)} queued>"

    def send(self, topic: str, message: local_pb2.NewRecord, partition: int | None) -> Future[Published]:
        """Waits while the queue is full."""
        result: Future[Published] = Future()
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) < MOST_QUEUED)
            self._queue.append(_Handed(topic, message, partition, result))
            if self._task is None:
                self._task = asyncio.run_coroutine_threadsafe(self._drain(), loop())
        return result

    async def drained(self) -> None:
        """Returns when everything that was queued is handed over. In the client's thread."""
        task = self._task
        if task is not None:
            await asyncio.wait([asyncio.wrap_future(task)])

    async def _drain(self) -> None:
        while (handed := self._next()) is not None:
            try:
                ticket = await self._client.publishers.hand_over(
                    self._client.connection(), handed.topic, handed.message, handed.partition, is_sent=True
                )
            except Exception as error:  # what is refused at once is that record's failure, not the others'
                self._client.publishers.failed(error)
                if handed.result.set_running_or_notify_cancel():
                    handed.result.set_exception(error)
            else:
                ticket.add_done_callback(partial(_pass_on, handed.result))

    def _next(self) -> _Handed | None:
        with self._changed:
            if not self._queue:
                self._task = None
                return None
            if len(self._queue) == MOST_QUEUED // 2:
                self._changed.notify_all()
            return self._queue.popleft()


def _pass_on(result: Future[Published], ticket: asyncio.Future[Published]) -> None:
    if ticket.cancelled() or not result.set_running_or_notify_cancel():
        return
    error = ticket.exception()
    if error is not None:
        result.set_exception(error)
    else:
        result.set_result(ticket.result())
