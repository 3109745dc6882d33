"""Reading one topic: a stream of records from the gateway, opened anew where it broke.

Strategy: replies come in as batches; records are handed out of the batch at hand. The next reply is asked for when the
last one is handed out, so a slow application slows down the gateway and not its own memory.
A. Whatever ends the stream and may pass (a gateway that restarts, a stall, a cluster that is away), the next stream
   begins behind the last record that came in: nothing is lost, nothing comes twice. So does the one after a wait for
   a record that was cancelled.
B. Commits go under the lease of the stream that lasts. Where it is lost the reader takes the cursor again, unless
   somebody else has it; where the stream has come to its end, nobody needs a lease.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Self, TypeAlias

import grpc.aio

import mesh.sdk.codec as codec
from mesh.errors import MeshError
from mesh.local.errors import RequestRefused
from mesh.local.v1 import local_pb2
from mesh.sdk.connection import Connection, Patience, failure_of, was_cancelled
from mesh.sdk.errors import ClientClosed, CursorInUse, GatewayUnreachable, LeaseLost
from mesh.sdk.progress import Progress
from mesh.sdk.values import Batch, Record

CURSOR_PATIENCE_S = 3.0
"""A gateway may notice a little later than we that a reader has ended."""

Call: TypeAlias = "grpc.aio.UnaryStreamCall[Any, local_pb2.ReadReply]"


class Reader:
    """`async for record in reader`, or `async for batch in reader.batches()`; both go on where the other ended.

    `async with` it to have it opened at once, with its refusals, and closed at the end; without, it is opened by the
    first record that is asked for.
    """

    def __init__(self, connection: Connection, query: local_pb2.ReadRequest, timeout_s: float) -> None:
        self._connection = connection
        self._query = query
        self._timeout_s = timeout_s
        self._call: Call | None = None
        self._lease = ""
        self._patience = Patience(connection.patience_s)
        self._batches: deque[Batch] = deque()
        self._batch: Batch | None = None
        self.rest: Iterator[Record] = iter(())
        """Of the batch at hand."""
        self._has_ended = False
        self._is_closed = False
        self.progress = Progress()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open" if self._call is not None else "not open"
        return f"<Reader {self._query.topic} {state} {self.progress!r}>"

    @property
    def positions(self) -> Mapping[int, int]:
        """The offset that is handed out next, by partition: what to store in a transaction of your own."""
        return self.progress.handed

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._drop()  # a loop over records that was left without closing the reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        record = next(self.rest, None)
        while record is None:
            if await self.turn() is None:
                raise StopAsyncIteration
            record = next(self.rest, None)
        self.progress.handed_record(record)
        return record

    async def batches(self) -> AsyncIterator[Batch]:
        """Records as they come in together, of one partition each; may be empty, `next_offset` then says why."""
        while (batch := await self.next_batch()) is not None:
            yield batch

    async def next_batch(self) -> Batch | None:
        """The next batch, or what is left of the one at hand; None at the end (`until_end`, `max_records`)."""
        batch, left = self._batch, tuple(self.rest)
        if batch is None or not left:
            batch = await self.turn()
            left = tuple(self.rest)
        if batch is None:
            return None
        self._batch = None
        self.progress.handed_batch(batch)
        return batch._replace(records=left)

    async def turn(self) -> Batch | None:
        """Be done with the batch at hand and have the next one at hand, of which nothing is handed out yet."""
        if self._batch is not None:
            self.progress.handed_batch(self._batch)
            self._batch = None
        while not self._batches:
            reply = await self._reply()
            if reply is None:
                return None
            for part in reply.parts:
                batch = codec.batch_of(self._query.topic, part)
                self.progress.received(batch)
                self._batches.append(batch)
        self._batch = self._batches.popleft()
        self.rest = iter(self._batch.records)
        return self._batch

    async def commit(self, positions: Mapping[int, int] | None = None) -> None:
        """State by the cursor that everything handed out, or before `positions`, is done with.

        Returns when it is durable. Raises CursorInUse where somebody else has the cursor now, RequestRefused where the
        reader has none.
        """
        if not self._query.cursor:
            raise RequestRefused("commit", "the reader has no cursor")
        stated = dict(self.progress.uncommitted() if positions is None else positions)
        if not stated:
            return
        patience, in_use = Patience(self._connection.patience_s), Patience(CURSOR_PATIENCE_S)
        is_leased, is_second = not self._has_ended, False
        while True:
            if is_leased:
                await self.open()
            try:
                await self._commit(stated, self._lease if is_leased else "")
            except LeaseLost:
                if is_second:
                    raise
                # a stream with an end may have come to it, and nobody reads any more; another one has broken
                is_leased, is_second = not self._is_bounded, True
                if is_leased:
                    self._drop()
            except CursorInUse as error:
                await in_use.pause(error)
            except MeshError as error:
                if not error.retriable:
                    raise
                await patience.pause(error)
            else:
                self.progress.committed(stated)
                return

    async def _commit(self, positions: Mapping[int, int], lease: str) -> None:
        request = local_pb2.CommitRequest(
            cursor=self._query.cursor, topic=self._query.topic, positions=codec.positions(positions), lease=lease
        )
        await self._connection.ask("Commit", request, local_pb2.CommitReply, self._timeout_s, again=False)

    def close(self) -> None:
        """What is not handed out is dropped; the gateway is told that nobody reads any more."""
        self._is_closed = True
        self._drop()

    async def open(self) -> None:
        """Returns when the gateway has said where the stream begins. Nothing to do where it has."""
        cursor_patience = Patience(CURSOR_PATIENCE_S)
        while self._call is None:
            try:
                await self._open()
            except CursorInUse as error:
                await cursor_patience.pause(error)
            except MeshError as error:
                await self._pause(error)

    async def _open(self) -> None:
        if self._is_closed:
            raise ClientClosed
        call = self._connection.read("Read", self._resuming(), local_pb2.ReadReply)
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._first(call)
        except BaseException as error:
            call.cancel()
            if isinstance(error, TimeoutError):
                raise GatewayUnreachable(self._connection.address, f"no answer for {self._timeout_s:g} s") from error
            raise
        self.progress.begun(codec.positions_of(reply.begun.positions))
        self._call, self._lease = call, reply.begun.lease
        self._patience.restore()

    async def _first(self, call: Call) -> local_pb2.ReadReply:
        reply = await self._received(call)
        if reply is None:
            raise GatewayUnreachable(self._connection.address, "it ended the stream before it began")
        return reply

    def _resuming(self) -> local_pb2.ReadRequest:
        """The question, from where the reader stands."""
        query = local_pb2.ReadRequest()
        query.CopyFrom(self._query)
        if self.progress.has_begun:
            del query.positions[:]
            query.positions.extend(codec.positions(self.progress.came))
            query.start = "earliest"  # partitions that were added meanwhile are new to us from their beginning
        if query.max_records:
            query.max_records -= self.progress.records
        return query

    async def _reply(self) -> local_pb2.ReadReply | None:
        """The next one, from a new stream where the last one broke; None at the end."""
        while not (self._has_ended or self._has_enough()):
            await self.open()
            assert self._call is not None
            try:
                reply = await self._received(self._call)
            except MeshError as error:
                self._drop()
                await self._pause(error)
                continue
            if reply is not None:
                return reply
            self._drop()
            if self._query.until_end:
                break
            if not self._has_enough():
                await self._pause(GatewayUnreachable(self._connection.address, "it ended the stream"))
        self._drop()
        self._has_ended = True
        return None

    @property
    def _is_bounded(self) -> bool:
        return self._query.until_end or bool(self._query.max_records)

    def _has_enough(self) -> bool:
        return bool(self._query.max_records) and self.progress.records >= self._query.max_records

    async def _received(self, call: Call) -> local_pb2.ReadReply | None:
        try:
            reply = await call.read()
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, self._connection.address) from error
        except asyncio.CancelledError:
            if not was_cancelled():
                raise ClientClosed from None
            self._drop()  # who stops waiting ends the call; the next one goes on where this one is
            raise
        return reply if isinstance(reply, local_pb2.ReadReply) else None

    async def _pause(self, error: MeshError) -> None:
        if not error.retriable:
            raise error
        await self._patience.pause(error)

    def _drop(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
