"""The appends of one leader: batches of several partitions in one request, several requests under way.

At most `MAX_REQUESTS` are unanswered on the one connection, so that under load what waits meanwhile is gathered: small
batches of many partitions share the cost of a request. Kafka answers in order; each request holds one batch
per partition, as its rule is. A connection that breaks makes everything sent on it unknown, all at once, and ends this
object; the destination finds the leaders anew.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gateway.kafka.append_queue import Append, AppendQueue
from gateway.kafka.client import Client
from gateway.kafka.codes import Code, append_error
from gateway.kafka.connection import Connection
from gateway.kafka.errors import AppendNotSent, LeaderMoved, ReplicasMissing
from gateway.kafka.produce_message import (
    PRODUCE,
    PRODUCE_BY_ID,
    Appended,
    pack_produce,
    pack_produce_by_id,
    parse_produce,
)
from mesh.cluster_errors import AppendUnknown, SequenceRefused
from mesh.errors import MeshError, NetworkError
from mesh.ids import TopicId

MAX_REQUESTS = 5
MAX_REQUEST_BYTES = 8 << 20
"""Far below the broker's socket.request.max.bytes; a larger batch goes alone."""
TIMEOUT_MARGIN = 1.2
"""The broker gives up by itself after the timeout that the request states: its answer should come."""


@dataclass(eq=False, slots=True)
class _Request:
    sent: list[tuple[AppendQueue, Append]]
    deadline: asyncio.TimerHandle
    names: dict[TopicId, str] | None
    """Of the topics, where it speaks of them by id."""


@dataclass(eq=False, slots=True)
class LeaderAppends:
    """What it tells: each append that is durable, in order; a queue that needs its leader found anew; its own end."""

    client: Client
    connection: Connection
    landed: Callable[[Append, int], None]
    moved: Callable[[AppendQueue], None]
    ended: Callable[[LeaderAppends], None]
    may_write: Callable[[], bool]
    over: bool = False
    _ready: dict[AppendQueue, None] = field(default_factory=dict)
    """The queues that may have something to send, in the order of their turns."""
    _under_way: dict[_Request, None] = field(default_factory=dict)
    _collecting: bool = False

    def __post_init__(self) -> None:
        self.connection.when_writable(self._collect)

    def __repr__(self) -> str:
        state = "over" if self.over else f"{len(self._under_way)} under way"
        return f"LeaderAppends({self.connection.address}, {len(self._ready)} ready, {state})"

    def wake(self, queue: AppendQueue) -> None:
        """`queue` has something to send; what else is added before the event loop comes round goes with it."""
        self._ready[queue] = None
        self._collect()

    def _collect(self) -> None:
        if not self._collecting and not self.over:
            self._collecting = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._collecting = False
        if self.connection.closed:
            self._end("the connection is closed")
        elif not self.connection.usable and not self._under_way:
            self._end("its session ended")
        # Asked anew for each request: between two of them a process may have been stopped for long.
        while (leave := self.may_write()) and self._may_send and (sent := self._gather()):
            self._send(sent)
        if not leave:
            self._refuse_all()

    def _refuse_all(self) -> None:
        """A process that was stopped may find old appends in its queues when it goes on."""
        for queue in [*self._ready]:
            queue.refuse(AppendNotSent(*queue.partition, "this gateway has not heard from its group for a session"))

    @property
    def _may_send(self) -> bool:
        return self.connection.usable and self.connection.writable and len(self._under_way) < MAX_REQUESTS

    def _gather(self) -> list[tuple[AppendQueue, Append]]:
        sent: list[tuple[AppendQueue, Append]] = []
        size = 0
        for queue in [*self._ready]:
            if not queue.may_send:
                del self._ready[queue]  # its next answer wakes it
                continue
            if sent and (queue.topic_id is None) != (sent[0][0].topic_id is None):
                continue  # names and ids do not go together
            added = queue.waiting[0].batch.size_bytes
            if sent and size + added > MAX_REQUEST_BYTES:
                break
            size += added
            sent.append((queue, queue.take()))
            del self._ready[queue]
            self._ready[queue] = None  # to the end of the line
        return sent

    def _send(self, sent: list[tuple[AppendQueue, Append]]) -> None:
        timeout_s = self.client.config.request_timeout_s
        batches, timeout_ms = [(queue.partition, append.batch) for queue, append in sent], int(timeout_s * 1000)
        ids = [queue.topic_id for queue, _ in sent if queue.topic_id is not None]
        names = None
        if self.connection.takes_topic_ids and len(ids) == len(sent):
            names = {topic_id: queue.partition.topic for topic_id, (queue, _) in zip(ids, sent, strict=True)}
            future = self.connection.send(PRODUCE_BY_ID, pack_produce_by_id(batches, ids, timeout_ms))
        else:
            future = self.connection.send(PRODUCE, pack_produce(batches, timeout_ms))
        late = partial(self._end, f"no answer within {timeout_s * TIMEOUT_MARGIN:g} s")
        request = _Request(sent, asyncio.get_running_loop().call_later(timeout_s * TIMEOUT_MARGIN, late), names)
        self._under_way[request] = None
        future.add_done_callback(partial(self._answered, request))

    def _answered(self, request: _Request, future: asyncio.Future[memoryview]) -> None:
        if self.over:
            return
        try:
            answers = parse_produce(future.result(), request.names)
        except (NetworkError, ValueError, IndexError, struct.error, asyncio.CancelledError) as error:
            self._end(str(error) or "the gateway stops")
            return
        request.deadline.cancel()
        del self._under_way[request]
        for queue, append in request.sent:
            self._settle(queue, append, answers.get(queue.partition))
        self._collect()

    def _settle(self, queue: AppendQueue, append: Append, answer: Appended | None) -> None:
        error = _error(append, answer)
        if error is None and answer is not None:
            queue.succeeded(append, answer.base_offset)
            self.landed(append, answer.base_offset)
        elif isinstance(error, LeaderMoved | ReplicasMissing) or (
            queue.returned and isinstance(error, SequenceRefused)
        ):
            # refused as out of line behind one that came back: not written either, and in line once that one is
            queue.give_back(append, error, asyncio.get_running_loop().time())
        elif error is not None:
            queue.failed(append, error)
        if queue.returned and not queue.in_flight:
            self.moved(queue)
        elif queue.waiting:
            self._ready[queue] = None

    def _end(self, why: str) -> None:
        if self.over:
            return
        self.over = True
        self.connection.abort(why)
        for request in self._under_way:
            request.deadline.cancel()
            for queue, append in request.sent:
                self.client.forget(queue.partition.topic)
                queue.failed(append, AppendUnknown(*queue.partition, why))
        self.ended(self)


def _error(append: Append, answer: Appended | None) -> MeshError | None:
    if answer is None:
        return AppendUnknown(*append.partition, "the broker's answer leaves it out")
    if answer.error != Code.NONE:
        return append_error(append.partition, append.batch, answer.error, answer.why)
    if answer.base_offset < 0:
        return AppendUnknown(*append.partition, "the broker has the batch but does not say where")
    return None
