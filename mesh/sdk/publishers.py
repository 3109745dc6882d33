"""The publishers of a client, one a topic: the room that they share, their tasks, and what becomes of failures.

A. What is handed over and not answered is bounded in bytes, over all topics.
B. A failure is told once: to whoever waits for the record, or, of records that were sent without a wait, by `flush`.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence

import mesh.sdk.codec as codec
from mesh.local.room import Room
from mesh.local.v1 import local_pb2
from mesh.sdk.connection import Connection
from mesh.sdk.errors import ClientClosed
from mesh.sdk.publisher import Publisher, Times, all_done
from mesh.sdk.values import Published


class Publishers:
    """Open between `open` and `close`."""

    def __init__(self, buffer_bytes: int, times: Times, *, idempotent: bool) -> None:
        self._room = Room(buffer_bytes)
        self._times = times
        name, numbers = secrets.token_urlsafe(9), itertools.count()
        self._next_key = (lambda: f"{name}-{next(numbers)}") if idempotent else None
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._by_topic: dict[str, Publisher] = {}
        self._is_closed = False
        self._failure: BaseException | None = None
        """Of a record that was sent without a wait, the first one since the last flush."""

    def __repr__(self) -> str:
        return f"<Publishers {list(self._by_topic.values())}>"

    @property
    def unanswered_bytes(self) -> int:
        return self._room.used_bytes

    async def open(self) -> None:
        await self._tasks.__aenter__()

    async def close(self) -> None:
        """What has no answer by now fails, and so does who still waits for room."""
        self._is_closed = True
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def hand_over(
        self,
        connection: Connection,
        topic: str,
        message: local_pb2.NewRecord,
        partition: int | None,
        *,
        is_sent: bool = False,
    ) -> asyncio.Future[Published]:
        """The record's place to be. Waits for room only. Raises ValueError for a partition that is none.

        `is_sent`: nobody waits for it, so `flush` tells of its failure.
        """
        size_bytes = codec.size_of(message)
        publisher = self._publisher(connection, topic)
        if not self._room.take_nowait(size_bytes):
            await self._room.take(size_bytes)
        try:
            self._check_open()
            ticket, is_full = publisher.add(partition, message, size_bytes, is_sent=is_sent)
        except BaseException:
            self._room.give(size_bytes)
            raise
        self._start(publisher)
        if is_full:
            await asyncio.sleep(0)  # whoever hands over in a loop lets it leave
        return ticket

    async def hand_over_whole(
        self,
        connection: Connection,
        topic: str,
        messages: Sequence[local_pb2.NewRecord],
        partition: int | None,
        key: str,
    ) -> asyncio.Future[list[Published]]:
        """The same of records that are one request, under the caller's own key."""
        size_bytes = sum(map(codec.size_of, messages))
        publisher = self._publisher(connection, topic)
        await self._room.take(size_bytes)
        try:
            self._check_open()
            ticket = publisher.add_whole(partition, messages, key, size_bytes)
        except BaseException:
            self._room.give(size_bytes)
            raise
        self._start(publisher)
        return ticket

    def failed(self, error: BaseException) -> None:
        """A record failed for which nobody waits."""
        self._failure = self._failure or error

    async def flush(self) -> None:
        """Returns when everything that was handed over is answered. Raises the first failure since the last flush."""
        await self.settled()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def settled(self) -> None:
        """What is handed over meanwhile is not waited for, nor what somebody has ceased to wait for."""
        await all_done([each for publisher in self._by_topic.values() for each in publisher.unanswered()])

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClientClosed

    def _publisher(self, connection: Connection, topic: str) -> Publisher:
        if topic not in self._by_topic:
            self._by_topic[topic] = Publisher(connection, topic, self._room, self._next_key, self._times, self.failed)
        return self._by_topic[topic]

    def _start(self, publisher: Publisher) -> None:
        if not publisher.is_running:
            publisher.is_running = True
            task = self._tasks.create_task(publisher.run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
