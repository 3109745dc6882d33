"""The writer of one partition: pieces of requests in, batches appended, each piece answered with its offsets.

Strategy: one task. It gathers what waits into batches, as many under way as the destination allows, and answers them
in order. As whom it writes, and how it finds out what became of an append without an answer, is its `Authorship`.
  W1  a piece is answered with offsets only when its append was answered, or the log was seen to hold it;
  W2  a piece that was sent stays until its fate is known, also where nobody waits for it any more;
  W3  after a failure nothing is sent before the fate of all that was sent is known, but the very same batches;
  W4  pieces become durable in the order in which they came, except those that are refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

import structlog

from gateway.http.errors import logged
from gateway.local.flights import Flight, Piece, error_of, is_unknown, refusal_of
from gateway.local.placing import BATCH_OVERHEAD_BYTES
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, Codec
from mesh.batch.stamp import Producer, StampedBatch, next_sequence
from mesh.cluster_errors import PartitionAbsent, TopicAbsent, TopicRecreated
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.ports import Destination

log = structlog.get_logger()

PAUSE_S = 0.1
"""After a failure, twice as long each time, up to the longest."""
LONGEST_PAUSE_S = 5.0
PACKED_BYTES = 1024
"""Below it, compressing costs more than it saves."""


class Authorship(Protocol):
    """As whom a partition is written."""

    async def take(self) -> Producer:
        """A producer that may write now, whose next sequence is 0. Raises MeshError."""

    async def refresh(self) -> bool:
        """Asked before something is sent while nothing is under way: False where the producer is to be taken anew."""

    @property
    def wants_rest(self) -> bool:
        """Whether nothing shall be sent before what is under way is answered, so that `refresh` is asked."""

    def known(self, piece: Piece) -> Sequence[int] | None:
        """Where the records of the piece lie, if they are there already. After `take` this can be relied upon.

        Raises the MeshError by which the piece is refused.
        """

    def landed(self, piece: Piece, offsets: Sequence[int]) -> None: ...

    async def fates(self, producer: Producer, flights: Sequence[Flight]) -> dict[int, int] | None:
        """The base offsets of those flights that the log holds, by their place; each of them has some answer.

        None: somebody else has shut us out, and `take` finds out. Raises MeshError.
        """


@dataclass(eq=False)
class PartitionWriter:
    """`run` it as a task; `submit` what is to be appended."""

    destination: Destination
    partition: Partition
    authorship: Authorship
    max_batch_bytes: int
    pause_s: float = PAUSE_S
    trouble: str = ""
    """Why nothing can be appended at the moment."""
    _queue: deque[Piece] = field(default_factory=deque)
    _flights: deque[Flight] = field(default_factory=deque)
    _producer: Producer | None = None
    _sequence: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0
    """Questions in a row that had no answer."""
    _rested: asyncio.Event = field(default_factory=asyncio.Event)
    _openers: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def _is_mending(self) -> bool:
        """Whether what is under way ends with what is out of line."""
        last = self._flights[-1] if self._flights else None
        return last is not None and last.answer.done() and error_of(last) is not None

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._flights

    async def opened(self) -> None:
        """Returns when `Authorship.take` has made sure that it may write. Raises as that where a person must act."""
        if self._producer is None:
            opener = asyncio.get_running_loop().create_future()
            self._openers.append(opener)
            self._wake.set()
            await opener

    def submit(self, piece: Piece) -> None:
        """Take a place in the order."""
        self._queue.append(piece)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled: see `end`."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._work()
            except Exception as error:
                self.end(logged(log, "publishing failed", error, partition=str(self.partition)))

    async def _work(self) -> None:
        if self._land():
            await self._send()
        else:
            await self._recover()
            self._wake.set()
        if self.is_idle:
            self._rested.set()

    async def drained(self) -> None:
        """Returns when nothing waits for its fate."""
        while not self.is_idle:
            self._rested.clear()
            await self._rested.wait()

    def end(self, error: MeshError) -> None:
        """Nothing more is found out: what waits fails with `error`."""
        self._fail_waiting(error)
        self._fail_all(error)

    def _land(self) -> bool:
        """Answer what was appended, in order; False at an append that failed."""
        while self._flights and self._flights[0].answer.done():
            flight = self._flights[0]
            if flight.answer.cancelled() or flight.answer.exception() is not None:
                return False
            self._flights.popleft()
            self._landed(flight, flight.answer.result())
        return True

    def _landed(self, flight: Flight, base_offset: int) -> None:
        for piece in flight.pieces:
            offsets = range(base_offset, base_offset + len(piece.records))
            self.authorship.landed(piece, offsets)
            piece.land(offsets)
            base_offset += len(piece.records)

    # --- sending

    async def _send(self) -> None:
        while (self._queue or self._openers) and len(self._flights) < self.destination.max_in_flight:
            if not self._flights and not await self._may_write():
                continue
            if self._flights and (self._is_mending or self.authorship.wants_rest):
                return
            self._open()
            if pieces := self._gather():
                self._fly(pieces)

    async def _may_write(self) -> bool:
        """Have a producer that may write, nothing being under way; False where it has to be asked again."""
        try:
            if self._producer is not None and await self.authorship.refresh():
                return True
            self._producer, self._sequence = None, 0
            self._producer = await self.authorship.take()
        except MeshError as error:
            await self._troubled(error)
            return False
        self.trouble, self._failures = "", 0
        return True

    def _open(self) -> None:
        for opener in self._openers:
            if not opener.done():
                opener.set_result(None)
        self._openers.clear()

    async def _troubled(self, error: MeshError) -> None:
        """Wait a moment; where a person has to act, what waits unsent is told so."""
        self.trouble = str(error)
        if not error.retriable:
            self._fail_waiting(error)
        self._drop_given_up()
        if isinstance(error, TopicAbsent | PartitionAbsent | TopicRecreated):
            self._fail_all(error)
            return
        log.warning("publishing waits", partition=str(self.partition), code=error.code, reason=str(error))
        self._failures += 1
        await asyncio.sleep(min(self.pause_s * 2 ** min(self._failures, 10), LONGEST_PAUSE_S))

    def _fail_waiting(self, error: MeshError) -> None:
        for piece in self._queue:
            if not piece.sent:
                piece.fail(error)
        for opener in self._openers:
            if not opener.done():
                opener.set_exception(error)
        self._openers.clear()

    def _fail_all(self, error: MeshError) -> None:
        """The log is not there any more, nor what was sent to it."""
        for piece in [*(piece for flight in self._flights for piece in flight.pieces), *self._queue]:
            piece.fail(error)
        self._flights.clear()
        self._queue.clear()
        self._producer = None

    def _drop_given_up(self) -> None:
        self._queue = deque(piece for piece in self._queue if piece.sent or not piece.answer.done())
        self._openers = [opener for opener in self._openers if not opener.done()]

    def _gather(self) -> list[Piece]:
        """What goes into the next batch."""
        pieces: list[Piece] = []
        size = BATCH_OVERHEAD_BYTES
        while self._queue:
            piece = self._queue[0]
            if (piece.answer.done() and not piece.sent) or self._is_settled(piece):
                self._queue.popleft()
            elif pieces and (size + piece.size_bytes > self.max_batch_bytes or piece.goes_alone):
                break
            else:
                size += piece.size_bytes
                pieces.append(self._queue.popleft())
                if piece.goes_alone:
                    break
        return pieces

    def _is_settled(self, piece: Piece) -> bool:
        try:
            offsets = self.authorship.known(piece)
        except MeshError as error:
            piece.fail(error)
            return True
        if offsets is not None:
            piece.land(offsets)
        return offsets is not None

    def _fly(self, pieces: list[Piece]) -> None:
        assert self._producer is not None
        records = [record for piece in pieces for record in piece.records]
        size = sum(piece.size_bytes for piece in pieces)
        codec = Codec.LZ4 if size >= PACKED_BYTES else Codec.NONE
        whole = encode(records, codec=codec, producer=self._producer, base_sequence=self._sequence)
        payload = memoryview(whole)[HEADER_BYTES:]
        batch = StampedBatch(whole[:HEADER_BYTES], payload, self._producer, self._sequence, len(records))
        self._sequence = next_sequence(self._sequence, len(records))
        for piece in pieces:
            piece.sent = True
        self._flights.append(self._flown(pieces, batch))

    def _flown(self, pieces: Sequence[Piece], batch: StampedBatch) -> Flight:
        answer = asyncio.ensure_future(self.destination.append(self.partition, batch))
        answer.add_done_callback(self._woken)
        return Flight(pieces, batch, answer)

    def _woken(self, answer: asyncio.Future[int]) -> None:
        if not answer.cancelled():
            answer.exception()  # read here: at a shutdown nobody else may
        self._wake.set()

    # --- after a failure

    async def _recover(self) -> None:
        """Find out what became of everything under way, and have the rest sent again."""
        await asyncio.wait([flight.answer for flight in self._flights])
        assert self._producer is not None
        self.trouble = next((str(error) for error in map(error_of, self._flights) if error is not None), "")
        landed = await self._fates(self._producer)
        waiting: list[Flight] = []
        for place, flight in enumerate(self._flights):
            if error_of(flight) is None:
                self._landed(flight, flight.answer.result())
            elif landed is not None and place in landed:
                self._landed(flight, landed[place])
            else:
                waiting.append(flight)
        self._flights.clear()
        unknown = [*takewhile(is_unknown, waiting)] if landed is not None else []
        if unknown:
            await asyncio.sleep(self.pause_s)  # what failed at once would fail at once again
            self._flights.extend(self._flown(flight.pieces, flight.batch) for flight in unknown)
            self._flights.extend(waiting[len(unknown) :])  # in line only when these have landed
        elif waiting:
            self._begin_anew(waiting, is_known=landed is not None)

    async def _fates(self, producer: Producer) -> dict[int, int] | None:
        while self._flights:
            try:
                return await self.authorship.fates(producer, [*self._flights])
            except MeshError as error:
                await self._troubled(error)
        return {}

    def _begin_anew(self, waiting: Sequence[Flight], *, is_known: bool) -> None:
        """The log has none of them and expects the first one's sequence, or it has shut us out: none can land any more.

        What it refused is answered so; the rest goes back into the queue, in order, for a producer that is taken anew.
        """
        again: list[Piece] = []
        for flight in waiting:
            refusal = refusal_of(flight)
            if refusal is not None and len(flight.pieces) == 1:
                flight.pieces[0].fail(refusal)
                continue
            for piece in flight.pieces:
                piece.goes_alone |= refusal is not None
                piece.sent = not is_known
            again += flight.pieces
        self._queue.extendleft(reversed(again))
        self._producer = None
