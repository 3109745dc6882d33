"""The records of one topic on their way to the gateway: gathered into requests, sent in order, answered in order. Pure.

Strategy: batching by load. A request leaves at once where nothing of its partition is under way; meanwhile records
gather, and leave when it is answered or when they fill a request. So a lone record waits for nobody, and the faster
they come the larger requests get, without a timer.
A. Records of one partition leave in the order in which they came, also after a failure: what was under way goes back to
   the front, as the same requests under the same idempotency keys.
B. What was never sent was never appended. What was sent and not answered may have been.

    add -> gathering (by partition) -> waiting -> under way -> settled
                                          ^--- broken ----+-> postponed, halved
                                          +------------------------+
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mesh.errors import MeshError
from mesh.local.v1 import local_pb2

Ticket = TypeVar("Ticket")
"""By which the adapter knows who waits for a record."""

REQUEST_BYTES = 512 * 1024
REQUEST_RECORDS = 5_000
MOST_UNDER_WAY = 8


@dataclass(slots=True, eq=False)
class Request(Generic[Ticket]):
    message: local_pb2.PublishRequest
    deadline: float
    """After which it is not sent again, by the adapter's clock."""
    tickets: list[Ticket] = field(default_factory=list)
    size_bytes: int = 0
    was_sent: bool = False
    is_whole: bool = False
    """It is the caller's own, under the caller's key: nothing is added to it."""
    failure: MeshError | None = None
    """How it was answered last, if it is to be sent again."""
    records: MutableSequence[local_pb2.NewRecord] = field(init=False, repr=False)
    """Of the message: asked for once, not for each record."""

    def __post_init__(self) -> None:
        self.records = self.message.records

    @property
    def is_full(self) -> bool:
        return self.is_whole or self.size_bytes >= REQUEST_BYTES or len(self.tickets) >= REQUEST_RECORDS

    @property
    def key(self) -> str:
        return self.message.idempotency_key

    @property
    def partition(self) -> int | None:
        return self.message.partition if self.message.HasField("partition") else None


class Outbox(Generic[Ticket]):
    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._gathering: dict[int | None, Request[Ticket]] = {}
        self._waiting: deque[Request[Ticket]] = deque()
        self._under_way: deque[Request[Ticket]] = deque()
        self._again: list[Request[Ticket]] = []
        """Answered, and to be sent again once the stream has ended."""

    def __repr__(self) -> str:
        counts = f"{len(self._gathering)} gathering, {len(self._waiting)} waiting, {len(self._under_way)} under way"
        return f"<Outbox {self.topic}: {counts}>"

    def __iter__(self) -> Iterator[Request[Ticket]]:
        """Every request that is not settled, oldest first of each partition."""
        yield from self._again
        yield from self._under_way
        yield from self._waiting
        yield from self._gathering.values()

    @property
    def is_empty(self) -> bool:
        return not (self._again or self._under_way or self._waiting or self._gathering)

    @property
    def oldest(self) -> Request[Ticket] | None:
        """The one that is answered next."""
        return self._under_way[0] if self._under_way else None

    def add(
        self, partition: int | None, record: local_pb2.NewRecord, size_bytes: int, ticket: Ticket, deadline: float
    ) -> bool:
        """Whether there is a full request more."""
        request = self._gathering.get(partition)
        overflows = request is not None and request.size_bytes + size_bytes > REQUEST_BYTES
        if overflows:
            self._waiting.append(self._gathering.pop(partition))
        if request is None or overflows:
            request = self._gathering[partition] = Request(self._message(partition), deadline)
        request.records.append(record)
        request.tickets.append(ticket)
        request.size_bytes += size_bytes
        if request.is_full:
            self._waiting.append(self._gathering.pop(partition))
        return overflows or request.is_full

    def add_whole(
        self,
        partition: int | None,
        records: Sequence[local_pb2.NewRecord],
        key: str,
        size_bytes: int,
        ticket: Ticket,
        deadline: float,
    ) -> None:
        """One request of its own, behind what was added before; one ticket for all of it."""
        if partition in self._gathering:
            self._waiting.append(self._gathering.pop(partition))
        message = self._message(partition)
        message.idempotency_key = key
        message.records.extend(records)
        self._waiting.append(Request(message, deadline, [ticket], size_bytes, is_whole=True))

    def _message(self, partition: int | None) -> local_pb2.PublishRequest:
        return local_pb2.PublishRequest(topic=self.topic, partition=partition)

    def next(self) -> Request[Ticket] | None:
        """The request to send now, which is under way from then on; None: wait for an answer, or for records."""
        if len(self._under_way) >= MOST_UNDER_WAY:
            return None
        request = self._waiting.popleft() if self._waiting else self._take_gathered()
        if request is not None:
            self._under_way.append(request)
        return request

    def _take_gathered(self) -> Request[Ticket] | None:
        busy = {request.partition for request in self._under_way}
        for partition in self._gathering:
            if partition not in busy:
                return self._gathering.pop(partition)
        return None

    def settled(self) -> Request[Ticket]:
        """The oldest under way has its answer."""
        return self._under_way.popleft()

    def postponed(self) -> None:
        """The oldest under way was answered with a failure that may pass: it is sent again, before those behind it."""
        self._again.append(self._under_way.popleft())

    def halved(self) -> None:
        """One record of the oldest under way spoils it, and nothing of it was appended: send it as two requests."""
        request = self._under_way.popleft()
        middle = len(request.tickets) // 2
        for part in (slice(None, middle), slice(middle, None)):
            message = self._message(request.partition)
            message.records.extend(request.message.records[part])
            half = Request(message, request.deadline, request.tickets[part])
            # only their sum counts: what was taken for them is given back with them
            half.size_bytes = request.size_bytes // 2 if part.stop else request.size_bytes - request.size_bytes // 2
            self._again.append(half)

    def broken(self) -> None:
        """Nothing more will be answered: what was not settled is sent again, the same requests in the same order."""
        self._waiting.extendleft(reversed(self._under_way))
        self._waiting.extendleft(reversed(self._again))
        self._under_way.clear()
        self._again.clear()

    def drop(self, unwanted: Callable[[Request[Ticket]], bool]) -> list[Request[Ticket]]:
        """Those that are not to be sent (any more); nothing is under way."""
        assert not self._under_way, "say first what became of what is under way"
        dropped = [request for request in self if unwanted(request)]
        self._waiting = deque(request for request in self._waiting if request not in dropped)
        self._gathering = {key: request for key, request in self._gathering.items() if request not in dropped}
        return dropped
