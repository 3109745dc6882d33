"""Publishing: requests become pieces, pieces become durable, and each request is told what became of it.

A request is begun (judged, cut into pieces, each in the line of its partition) and then awaited; whoever has many
begins them in order and awaits them in order. Unkeyed and keyed records have writers of their own: among each other
they have no order.
  P1  a refusal comes before anything of the request is in a line; what is raised later says what is durable;
  P2  a request under a key waits until the fate of every earlier one under the same key here is known; what is known to
      be appended of it is not appended again, whatever partition it lies in;
  P3  records taken and not yet durable are bounded, over all requests; who comes when it is full waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from gateway.local.flights import Piece
from gateway.local.keys import KeyOf, digest_of
from gateway.local.placing import keyless_of, pieces, placed, places, size_of
from gateway.local.requests import KEY_HEADER_BYTES, check, kind_of
from gateway.local.room import take_until
from gateway.local.topics import Kind, KnownTopic, KnownTopics, check_keeps_keys
from gateway.local.values import Outcome, Published, PublishRequest
from gateway.local.writing import PartitionWriter
from mesh.batch.records import Record
from mesh.cluster_errors import PartitionAbsent, TopicAbsent, TopicRecreated
from mesh.errors import MeshError
from mesh.local.errors import (
    IdempotencyKeyReused,
    PublishBusy,
    PublishIncomplete,
    PublishUnknown,
    RecordTooLarge,
    RequestRefused,
)
from mesh.local.room import Room

MAX_BEGUN = 256
"""Requests of one stream that are not answered yet."""
DRAIN_S = 2.0
"""After a request that failed: for the caller to stop."""


@dataclass(frozen=True, slots=True)
class PublishSettings:
    patience_s: float
    """How long a request waits for its outcome, from when it was begun."""
    window_ms: int
    """How long keys are known."""


@dataclass(eq=False)
class Begun:
    """A request whose pieces are in their lines."""

    topic: str
    records: int
    deadline: float
    pieces: Sequence[Piece]
    there: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition and offset of records that were appended before, under the same key, by their place in the request."""
    writers: Sequence[PartitionWriter] = ()

    @property
    def has_failed(self) -> bool:
        return any(_failed(piece) for piece in self.pieces)


class Publisher:
    """One of a gateway. `close` it when nobody publishes any more."""

    def __init__(self, topics: KnownTopics, room: Room, now_ms: Callable[[], int], settings: PublishSettings) -> None:
        self._topics, self._room, self._now_ms, self._settings = topics, room, now_ms, settings
        self._busy: dict[tuple[str, str], Sequence[Piece]] = {}
        """The pieces of the latest request under each key of a topic, while the fate of any is unknown."""

    async def publish(self, request: PublishRequest) -> Published:
        """As `LocalApi.publish`."""
        outcome = await self.outcome(await self.begin(request))
        if outcome.error is not None:
            raise outcome.error
        return outcome.published

    async def publish_many(self, requests: AsyncIterable[PublishRequest]) -> AsyncGenerator[Outcome, None]:
        """As `LocalApi.publish_many`."""
        lines: asyncio.Queue[Begun | MeshError | None] = asyncio.Queue(MAX_BEGUN)
        failed = asyncio.Event()
        feeding = asyncio.create_task(self._feed(requests, lines, failed))
        try:
            while (begun := await _next(lines, DRAIN_S if failed.is_set() else None)) is not None:
                if isinstance(begun, MeshError):
                    outcome = Outcome(Published(()), begun)
                else:
                    outcome = await self.outcome(begun)
                if outcome.error is not None:
                    failed.set()
                yield outcome
            if feeding.done():
                await feeding  # for what the requests themselves raised
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding

    async def _feed(
        self,
        requests: AsyncIterable[PublishRequest],
        lines: asyncio.Queue[Begun | MeshError | None],
        failed: asyncio.Event,
    ) -> None:
        """Begin requests until one cannot be, or one that was begun has failed; those behind it are taken and dropped.

        They are, because a call that ends before its caller has said all may lose answers that were sent.
        Those of different kinds have different writers: for the order of the stream, one kind waits for the other.
        """
        begun: list[Begun] = []
        kind: Kind | None = None
        try:
            async for request in requests:
                if failed.is_set():
                    continue
                if kind_of(request) is not kind:
                    await _settled(begun)
                    kind = kind_of(request)
                if any(each.has_failed for each in begun):
                    failed.set()
                    continue
                begun = [each for each in begun if not all(piece.answer.done() for piece in each.pieces)]
                try:
                    begun.append(await self.begin(request))
                except MeshError as error:
                    failed.set()
                    await lines.put(error)
                    continue
                await lines.put(begun[-1])
        finally:
            await lines.put(None)

    # --- beginning

    async def begin(self, request: PublishRequest) -> Begun:
        """Put the pieces of a request in their lines. Raises what refuses it."""
        deadline = _now_s() + self._settings.patience_s
        check(request)
        known = await self._topics.get(request.topic)
        sizes = [size_of(record) for record in request.records]
        self._check_sizes(known, request, sizes)
        if request.partition is not None and request.partition >= known.partitions:
            known = await self._topics.get(request.topic, fresh=True)
            if request.partition >= known.partitions:
                raise PartitionAbsent(known.name, request.partition, known.partitions)
        await take_until(self._room, known.name, sum(sizes), deadline)
        try:
            if request.idempotency_key:
                return await self._begin_keyed(known, request, sizes, deadline)
            records = self._records(known, request, None)
            chosen = places(request.records, request.partition, known.by_key, known.next_keyless())
            return self._submit(known, Kind.BARE, None, chosen, sizes, records, deadline)
        except BaseException:
            self._room.give(sum(sizes))
            raise

    def _check_sizes(self, known: KnownTopic, request: PublishRequest, sizes: Sequence[int]) -> None:
        largest = max(sizes)
        overhead = len(request.idempotency_key) + KEY_HEADER_BYTES if request.idempotency_key else 0
        if largest + overhead > known.max_record_bytes:
            raise RecordTooLarge(sizes.index(largest), largest + overhead, known.max_record_bytes)
        if sum(sizes) > self._room.limit_bytes:
            raise RequestRefused("records", f"together they have more than {self._room.limit_bytes} bytes")

    async def _begin_keyed(
        self, known: KnownTopic, request: PublishRequest, sizes: Sequence[int], deadline: float
    ) -> Begun:
        check_keeps_keys(known.topic, self._settings.window_ms)
        of = KeyOf(request.idempotency_key, digest_of(request.partition, request.records), len(request.records))
        kind = kind_of(request)
        keyless = keyless_of(of.key, known.partitions)
        chosen = places(request.records, request.partition, known.by_key, keyless)
        place = (known.name, of.key)
        async with _until(deadline, lambda: PublishBusy(known.name, self._room.used_bytes, known.trouble())):
            await known.open_keyed({*chosen}, kind)
        async with _until(deadline, lambda: PublishUnknown(known.name, known.trouble())):
            while earlier := self._busy.get(place):
                await asyncio.wait([piece.answer for piece in earlier])
                self._forget(place, earlier)
        there = self._there(known, kind, of)
        begun = self._submit(known, kind, of, chosen, sizes, self._records(known, request, of), deadline, there)
        if begun.pieces:
            self._busy[place] = begun.pieces
            for piece in begun.pieces:
                piece.answer.add_done_callback(lambda _: self._forget(place, begun.pieces))
        return begun

    def _forget(self, place: tuple[str, str], pieces: Sequence[Piece]) -> None:
        if self._busy.get(place) is pieces and all(piece.answer.done() for piece in pieces):
            del self._busy[place]

    def _there(self, known: KnownTopic, kind: Kind, of: KeyOf) -> dict[int, tuple[int, int]]:
        there: dict[int, tuple[int, int]] = {}
        for number, keyed in known.keyed(kind):
            found = keyed.table.get(of.key)
            if found is not None and found.of != of:
                raise IdempotencyKeyReused(of.key)
            if found is not None:
                there |= {index: (number, offset) for index, offset in found.offsets.items()}
        return there

    def _records(self, known: KnownTopic, request: PublishRequest, of: KeyOf | None) -> list[Record]:
        now_ms = self._now_ms()
        return [
            Record(
                0,
                now_ms if record.timestamp_ms is None else record.timestamp_ms,
                record.key,
                record.value,
                tuple(record.headers) if of is None else (*record.headers, of.header(index)),
            )
            for index, record in enumerate(request.records)
        ]

    def _submit(
        self,
        known: KnownTopic,
        kind: Kind,
        of: KeyOf | None,
        chosen: Sequence[int],
        sizes: Sequence[int],
        records: Sequence[Record],
        deadline: float,
        there: dict[int, tuple[int, int]] | None = None,
    ) -> Begun:
        """Without a wait, so that requests have the order in which they were begun. What is there is left out."""
        there = there or {}
        loop = asyncio.get_running_loop()
        overhead = 0 if of is None else len(of.key) + KEY_HEADER_BYTES
        full = [size + overhead for size in sizes]
        made: list[Piece] = []
        writers: list[PartitionWriter] = []
        wanted = [-1 if index in there else number for index, number in enumerate(chosen)]
        for number, indexes in pieces(wanted, full, known.max_batch_bytes):
            if number >= 0:
                size = sum(full[index] for index in indexes)
                made.append(
                    Piece(number, indexes, [records[index] for index in indexes], size, of, loop.create_future())
                )
                writers.append(known.writer(number, kind))
        room_bytes = sum(sizes)
        if not made:
            self._room.give(room_bytes)
        left = len(made)

        def settled(_: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                self._room.give(room_bytes)

        for piece, writer in zip(made, writers, strict=True):
            piece.answer.add_done_callback(settled)
            writer.submit(piece)
        return Begun(known.name, len(records), deadline, made, there, writers)

    # --- the outcome

    async def outcome(self, begun: Begun) -> Outcome:
        """What became of a request, when all of it is known, or its time is over. A cancellation takes nothing back."""
        if open_ := [piece.answer for piece in begun.pieces if not piece.answer.done()]:
            await asyncio.wait(open_, timeout=max(begun.deadline - _now_s(), 0))
        found = dict(begun.there)
        errors: list[MeshError] = []
        unknown = 0
        for piece in begun.pieces:
            if piece.answer.done() or piece.give_up():
                if (error := _failed(piece)) is not None:
                    errors.append(error)
                elif not piece.answer.cancelled():
                    offsets = zip(piece.indexes, piece.answer.result(), strict=True)
                    found |= {index: (piece.partition, offset) for index, offset in offsets}
            else:
                unknown += 1
        if any(isinstance(error, TopicAbsent | TopicRecreated) for error in errors):
            await self._topics.forget(begun.topic, errors[0])
        published = Published(placed(found), repeated_request=bool(begun.there))
        if len(found) == begun.records:
            return Outcome(published)
        return Outcome(published, self._why(begun, len(found), errors, is_unknown=unknown > 0))

    def _why(self, begun: Begun, appended: int, errors: Sequence[MeshError], *, is_unknown: bool) -> MeshError:
        waited = f"it was not answered within {self._settings.patience_s:g} s"
        trouble = next((writer.trouble for writer in begun.writers if writer.trouble), waited)
        if is_unknown:
            return PublishUnknown(begun.topic, trouble)
        if appended:
            return PublishIncomplete(begun.topic, appended, begun.records, str(errors[0]) if errors else trouble)
        return errors[0] if errors else PublishBusy(begun.topic, self._room.used_bytes, trouble)


async def _next(lines: asyncio.Queue[Begun | MeshError | None], wait_s: float | None) -> Begun | MeshError | None:
    """None also where nothing comes for so long."""
    try:
        async with asyncio.timeout(wait_s):
            return await lines.get()
    except TimeoutError:
        return None


async def _settled(begun: Iterable[Begun]) -> None:
    """Returns when the fate of all their pieces is known."""
    if waited := [piece.answer for each in begun for piece in each.pieces if not piece.answer.done()]:
        await asyncio.wait(waited)


def _failed(piece: Piece) -> MeshError | None:
    if not piece.answer.done() or piece.answer.cancelled():
        return None
    error = piece.answer.exception()
    return error if isinstance(error, MeshError) else None


@asynccontextmanager
async def _until(deadline: float, error: Callable[[], MeshError]) -> AsyncIterator[None]:
    """What is inside ends by then, or with that error."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise error() from None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
