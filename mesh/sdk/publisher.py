"""One topic's outbox, and the stream by which it goes to the gateway while there is something in it.

Strategy: one task writes every request that may leave now, then waits for the next answer, and so on; with nothing left
it keeps the stream for a moment, so that records that follow one another need no stream each.
A. A failure that may pass ends the stream; what has no answer is sent again by the next one, under the same keys, until
   its deadline. Under a key the gateway appends it once, however often it comes.
B. A request without a key (the topic keeps none, or the client shall not use them) is not sent twice: where its answer
   is missing, PublishUnknown says so.
C. A record that the gateway refuses fails alone: its request is halved until it is found, since nothing of such a
   request was appended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import grpc.aio

import mesh.sdk.codec as codec
from mesh.errors import MeshError
from mesh.local.room import Room
from mesh.local.v1 import local_pb2
from mesh.sdk.connection import Connection, Patience, answer_of, ending_of, failure_of
from mesh.sdk.errors import (
    ClientClosed,
    GatewayError,
    GatewayUnreachable,
    KeysNotKept,
    RecordTooLarge,
    RequestRefused,
    error_of,
    unknown,
)
from mesh.sdk.outbox import Outbox, Request

IDLE_S = 1.0
_OF_ONE_RECORD = (RecordTooLarge, RequestRefused)
_MAY_BE_APPENDED = frozenset({"publish-unknown", "publish-incomplete", "append-unknown"})

Ticket: TypeAlias = asyncio.Future[Any]
"""Of one record: a Published; of a whole request: a list of them."""
Call: TypeAlias = "grpc.aio.StreamStreamCall[Any, local_pb2.PublishReply]"


class Sent(asyncio.Future[Any]):
    """The ticket of a record for which nobody waits: of its failure `flush` tells."""


class Times(NamedTuple):
    answer_s: float
    """How long the answer to a request is waited for."""
    again_s: float
    """For how long after its first record came a request is sent again."""


class Publisher:
    def __init__(
        self,
        connection: Connection,
        topic: str,
        room: Room,
        next_key: Callable[[], str] | None,
        times: Times,
        failed: Callable[[BaseException], None],
    ) -> None:
        """`failed` is told of the failures of records for which nobody waits. Made in the loop where it runs."""
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._room = room
        self._next_key = next_key
        self._times = times
        self._failed = failed
        self._outbox: Outbox[Ticket] = Outbox(topic)
        self._patience = Patience(float("inf"))  # each request has a deadline
        self._more = asyncio.Event()
        self._is_refusing = False
        """A request of this stream failed: the gateway answers what it has begun, begins no other, and ends it."""
        self.is_running = False

    def __repr__(self) -> str:
        return f"<Publisher {self._outbox!r}>"

    def add(
        self, partition: int | None, message: local_pb2.NewRecord, size_bytes: int, *, is_sent: bool
    ) -> tuple[Ticket, bool]:
        """The record's ticket, and whether it filled a request. `is_sent`: nobody waits for it."""
        ticket: Ticket = Sent(loop=self._loop) if is_sent else self._loop.create_future()
        is_full = self._outbox.add(partition, message, size_bytes, ticket, self._loop.time() + self._times.again_s)
        self._more.set()
        return ticket, is_full

    def add_whole(
        self, partition: int | None, messages: Sequence[local_pb2.NewRecord], key: str, size_bytes: int
    ) -> Ticket:
        ticket: Ticket = self._loop.create_future()
        deadline = self._loop.time() + self._times.again_s
        self._outbox.add_whole(partition, messages, key, size_bytes, ticket, deadline)
        self._more.set()
        return ticket

    def unanswered(self) -> list[Ticket]:
        return [ticket for request in self._outbox for ticket in request.tickets if not ticket.done()]

    async def run(self) -> None:
        """Until everything is answered and nothing came for a while. Start it again when something is added."""
        self.is_running = True
        try:
            while not self._outbox.is_empty:
                await self._attempt()
        finally:
            self.is_running = False
            self._abandon()  # a cancellation leaves some: the client is being closed

    async def _attempt(self) -> None:
        """One stream, and what its end means for what it did not answer."""
        self._is_refusing = False
        try:
            await self._converse()
        except MeshError as error:
            if self._ended(error) and not self._outbox.is_empty:
                await self._patience.pause(error)

    async def _converse(self) -> None:
        """Raises MeshError, why the stream ended; nothing where it ended for want of records."""
        address = self._connection.address
        call: Call = self._connection.converse("PublishMany", local_pb2.PublishReply)
        try:
            while self._is_refusing or await self._write(call):
                async with asyncio.timeout(self._times.answer_s):
                    reply = await call.read()
                if not isinstance(reply, local_pb2.PublishReply) or self._outbox.oldest is None:
                    raise GatewayUnreachable(address, "it ended the stream of records")
                was_refusing = self._is_refusing
                self._settle(self._outbox.oldest, reply)
                if self._is_refusing and not was_refusing:
                    await call.done_writing()  # the gateway ends it when it has answered what it had begun
        except TimeoutError as error:
            raise GatewayUnreachable(address, f"no answer for {self._times.answer_s:g} s") from error
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, address) from error
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:  # it had ended before it was written to
            raise await ending_of(call, address) from error
        finally:
            call.cancel()

    async def _write(self, call: Call) -> bool:
        """Send what may leave now; False where nothing is left and nothing comes."""
        if self._outbox.is_empty and not await self._comes():
            return False
        while (request := self._outbox.next()) is not None:
            self._sign(request)
            await call.write(request.message)
        return True

    def _sign(self, request: Request[Ticket]) -> None:
        """With the key under which it is sent, now and ever after."""
        if not request.is_whole and self._next_key is None:
            request.message.ClearField("idempotency_key")
            request.message.ClearField("key_is_local")
        elif self._next_key is not None and not request.key:
            request.message.idempotency_key = self._next_key()
            request.message.key_is_local = True
        request.was_sent, request.failure = True, None

    async def _comes(self) -> bool:
        """Whether something is added within a moment."""
        self._more.clear()
        try:
            async with asyncio.timeout(IDLE_S):
                return await self._more.wait()
        except TimeoutError:
            return not self._outbox.is_empty

    def _settle(self, request: Request[Ticket], reply: local_pb2.PublishReply) -> None:
        """`reply` is the answer to `request`, the oldest."""
        if reply.HasField("error"):
            self._is_refusing = True
            self._refused(request, error_of(answer_of(reply.error)))
            return
        self._patience.restore()
        self._outbox.settled()
        found = list(codec.published(reply))
        if request.is_whole or len(found) == len(request.tickets):
            self._room.give(request.size_bytes)
            _resolve(request.tickets, [found] if request.is_whole else found)
        else:
            why = f"the answer names {len(found)} records of {len(request.tickets)}"
            self._fail([request], lambda _: unknown(self._outbox.topic, why))

    def _refused(self, request: Request[Ticket], error: GatewayError) -> None:
        request.failure = error
        if isinstance(error, KeysNotKept) and not request.is_whole:
            self._next_key = None
            request.was_sent = False
            self._outbox.postponed()
        elif error.retriable and (request.key or error.code not in _MAY_BE_APPENDED):
            self._outbox.postponed()
        elif isinstance(error, _OF_ONE_RECORD) and len(request.tickets) > 1:
            self._outbox.halved()
        else:
            self._outbox.settled()
            self._fail([request], lambda _: error)

    def _ended(self, error: MeshError) -> bool:
        """What the end of the stream means for what has no answer; whether to wait before the next one."""
        if isinstance(error, GatewayError):
            for request in self._outbox:
                # what such an end leaves without an answer was not appended, unless an earlier stream sent it, too
                request.was_sent = request.was_sent and bool(request.key)
        self._outbox.broken()
        if self._is_refusing and not error.retriable:
            return False
        if not error.retriable:
            self._fail(self._outbox.drop(lambda _: True), lambda _: error)
            return False
        now = self._loop.time()
        lost = self._outbox.drop(lambda each: each.deadline <= now or (each.was_sent and not each.key))
        self._fail(lost, lambda request: request.failure or (self._unknown(error) if request.was_sent else error))
        return True

    def _abandon(self) -> None:
        """Nothing is sent any more."""
        self._outbox.broken()
        closed = ClientClosed()
        self._fail(self._outbox.drop(lambda _: True), lambda each: self._unknown(closed) if each.was_sent else closed)

    def _unknown(self, why: MeshError) -> MeshError:
        return unknown(self._outbox.topic, str(why))

    def _fail(self, requests: Iterable[Request[Ticket]], why: Callable[[Request[Ticket]], MeshError]) -> None:
        for request in requests:
            self._room.give(request.size_bytes)
            error = why(request)
            for ticket in request.tickets:
                if isinstance(ticket, Sent):
                    self._failed(error)
                if not ticket.done():  # who waited for it may have been cancelled
                    ticket.set_exception(error)
                    ticket.exception()  # nobody is told of it by the garbage collector


async def all_done(tickets: Sequence[asyncio.Future[Any]]) -> None:
    """Mostly they are done in their order, so there is one to wait for: `asyncio.wait` would ask each to tell."""
    for ticket in reversed(tickets):
        if not ticket.done():
            await asyncio.wait([ticket])


def _resolve(tickets: Sequence[Ticket], results: Sequence[object]) -> None:
    for ticket, result in zip(tickets, results, strict=True):
        if not ticket.done():
            ticket.set_result(result)
