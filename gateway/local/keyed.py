"""Writing a partition under idempotency keys, exactly once for each: who writes knows all keys that the log holds.

Strategy: what is written to a partition under keys that any gateway may be asked by has one writer among the gateways
of an organization, and so has what is written under each gateway's own (`holding.py`): an earlier process of it may
still have batches on their way. Taking the writer's place is: shut out whoever wrote before (the strict cut), store
that, and read what the log holds up to the cut. From there on every such record in the log is one of ours, or we are
shut out ourselves, which the log says at our next append. So no append goes out upon a table that lacks something,
whatever died, waits in a socket or runs elsewhere.
  K1  nothing is written under a key before the holding is stored that names its producer and a mark before it;
  K2  the table is complete up to the log's end at the cut before `take` returns;
  K3  a place is taken anew long before the cluster forgets who took it: a Kafka coordinator forgets a name that was
      not used for a week, a broker who wrote nothing for a day;
  K4  nothing is sent before the control state was looked at, where it has changed: a broker forgets within minutes who
      wrote records with timestamps older than a day, and then it does not refuse who was shut out.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.local.authorship import fates
from gateway.local.flights import Flight, Piece, error_of
from gateway.local.holding import LAST_EPOCH, Holding, decode, key_of, name_of
from gateway.local.keys import KeyOf, KeyTable, read_header
from gateway.registry_errors import RegistryEntryDamaged
from mesh.batch.header import HEADER_BYTES, BatchHeader, split
from mesh.batch.limits import Limits
from mesh.batch.records import records_of
from mesh.batch.stamp import Producer
from mesh.cluster_errors import OffsetOutOfRange, ProducerFenced, StateMoved
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.local.errors import IdempotencyKeyReused, PublishUnknown
from mesh.log import Topic
from mesh.ports import Cluster

RETAKE_S = 6 * 3600.0
"""Each time costs an offset of the partition on Kafka."""
PACE_S = 1.0
"""Between two takings: gateways that contend for a partition shall get something done in between."""
TRIES = 20
FETCH_BYTES = 4 << 20
WAIT_S = 1.0


@dataclass(eq=False)
class Keyed:
    """The `Authorship` of what is published to a partition under keys. `table` is what is known to be there."""

    cluster: Cluster
    topic: Topic
    partition: Partition
    now_ms: Callable[[], int]
    window_ms: int
    limits: Limits
    gateway: str = ""
    """Whose own keys it writes; empty: those that any gateway may be asked by."""
    pace_s: float = PACE_S
    table: KeyTable = field(default_factory=KeyTable)
    _held: Holding | None = None
    _read_to: int = -1
    """Every keyed record before is in the table, -1: nobody has looked."""
    _taken_s: float = float("-inf")
    _seen: int = -1
    """The control state's version up to which nobody else has taken our place."""

    # --- the Authorship

    async def take(self) -> Producer:
        await asyncio.sleep(self._taken_s + self.pace_s * (1 + random.random()) - _now_s())
        self._taken_s = _now_s()
        holding, end = await self._take_place()
        start = holding.start(self.now_ms(), self.window_ms) if self._read_to < 0 else self._read_to
        await self._read(holding, start, end)
        self._read_to, self._taken_s = end, _now_s()
        return holding.producer

    @property
    def wants_rest(self) -> bool:
        is_moved = self._held is not None and self.cluster.control.version != self._seen
        return is_moved or self._is_mark_due or _now_s() - self._taken_s > RETAKE_S

    async def refresh(self) -> bool:
        if _now_s() - self._taken_s > RETAKE_S or not await self._is_ours():
            return False
        if self._is_mark_due:
            with suppress(MeshError):  # those that there are lead to an earlier place, which is as right
                await self._mark()
        return True

    def known(self, piece: Piece) -> Sequence[int] | None:
        assert piece.of is not None
        found = self.table.get(piece.of.key)
        if found is None:
            return None
        if found.of != piece.of:
            raise IdempotencyKeyReused(piece.of.key)
        offsets = self.table.offsets(piece.of, piece.indexes)
        if offsets is None and any(found.offset(index) is not None for index in piece.indexes):
            raise PublishUnknown(self.topic.name, "another gateway has appended a part of the request meanwhile")
        return offsets

    def landed(self, piece: Piece, offsets: Sequence[int]) -> None:
        assert piece.of is not None
        self.table.add(piece.of, piece.indexes, offsets[0], self.now_ms())
        self._read_to = max(self._read_to, offsets[-1] + 1)

    async def fates(self, producer: Producer, flights: Sequence[Flight]) -> dict[int, int] | None:
        if any(isinstance(error_of(flight), ProducerFenced) for flight in flights):
            return None
        return await fates(self.cluster, self.topic, self.partition, producer, self._read_to, flights)

    # --- taking the place

    async def _take_place(self) -> tuple[Holding, int]:
        """What is stored now, and the log's end when nobody else could write under keys any more."""
        key = key_of(*self.partition, self.gateway)
        for _ in range(TRIES):
            version, entries = await self.cluster.control.changes_since(0)
            found = self._decoded(key, entries.get(key))
            claimed = await self._shut_out(found)
            end = (await self.cluster.source.range(self.partition)).end
            claimed = claimed.marked(self.now_ms(), end, self.window_ms)
            if await self._stored(key, entries.get(key), claimed, version):
                self._held = claimed
                return claimed, end
            await asyncio.sleep(random.random() * self.pace_s)
        raise StateMoved(key)

    def _decoded(self, key: str, data: bytes | None) -> Holding | None:
        try:
            found = None if data is None else decode(data)
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryEntryDamaged(key, "it is none that this version wrote") from error
        return found if found is not None and found.topic_id == self.topic.topic_id else None

    async def _shut_out(self, found: Holding | None) -> Holding:
        destination, (topic, number) = self.cluster.publishing, self.partition
        if found is None:
            producer = await destination.producer(name_of(topic, number, 0, self.gateway))
            return Holding(self.topic.topic_id, producer)
        name = name_of(topic, number, found.generation, self.gateway)
        producer = await destination.cut(name, found.producer, [self.partition])
        if producer.epoch >= LAST_EPOCH:
            producer = await destination.producer(name_of(topic, number, found.generation + 1, self.gateway))
        return found.taken_by(producer)

    async def _stored(self, key: str, before: bytes | None, claimed: Holding, version: int) -> bool:
        """Whether it was stored; not where another gateway has taken the place meanwhile."""
        for _ in range(TRIES):
            try:
                self._seen = await self.cluster.control.change({key: claimed.encode()}, version)
            except StateMoved:
                version, entries = await self.cluster.control.changes_since(0)
                if entries.get(key) != before:
                    return False
            else:
                return True
        return False

    async def _is_ours(self) -> bool:
        """Whether nobody has taken our place, as far as the control state tells; the log tells at an append."""
        assert self._held is not None
        if self.cluster.control.version == self._seen:
            return True
        version, changed = await self.cluster.control.changes_since(self._seen)
        held, key = self._held.encode(), key_of(*self.partition, self.gateway)
        if changed.get(key, held) != held:
            return False
        self._seen = version
        return True

    @property
    def _is_mark_due(self) -> bool:
        return self._held is not None and self._held.is_due(self.now_ms(), self.window_ms)

    async def _mark(self) -> None:
        """Nothing is under way, so all that will be written under keys from now on lies behind what is known."""
        assert self._held is not None
        key, now_ms = key_of(*self.partition, self.gateway), self.now_ms()
        self.table.forget_before(now_ms - self.window_ms)
        marked = self._held.marked(now_ms, self._read_to, self.window_ms)
        version, entries = await self.cluster.control.changes_since(0)
        if entries.get(key) == self._held.encode() and await self._stored(key, entries[key], marked, version):
            self._held = marked

    # --- reading the log

    async def _read(self, holding: Holding, start: int, end: int) -> None:
        """Learn what the log holds from `start` to `end`."""
        position, now_ms = start, self.now_ms()
        while position < end:
            try:
                position = await self._read_on(holding, position, now_ms)
            except OffsetOutOfRange as error:
                if position >= error.start:
                    raise
                position = error.start  # retention took the rest

    async def _read_on(self, holding: Holding, position: int, now_ms: int) -> int:
        topic_id = self.topic.topic_id
        fetched = await self.cluster.source.fetch(self.partition, position, topic_id, FETCH_BYTES, WAIT_S)
        for header, batch in split(fetched.data):
            if header.producer_id in holding.ids and not header.is_control:
                for of, indexes, first_offset in keyed_stretches(header, batch, self.limits):
                    self.table.add(of, indexes, first_offset, now_ms)
            position = max(position, header.next_offset)
        await asyncio.sleep(0)
        return position


def keyed_stretches(
    header: BatchHeader, batch: memoryview, limits: Limits
) -> Iterator[tuple[KeyOf, Sequence[int], int]]:
    """What a batch holds of keyed requests: of which, the places of records that lie one behind another, the first
    one's offset. Compaction may have left holes."""
    of: KeyOf | None = None
    indexes: list[int] = []
    first = after = -1
    for record in records_of(header, batch[HEADER_BYTES:], limits):
        found = read_header(record.headers)
        offset = header.base_offset + record.offset_delta
        if of is not None and (found is None or found[0] != of or offset != after or found[1] <= indexes[-1]):
            yield of, indexes, first
            of = None
        if found is not None:
            if of is None:
                of, indexes, first = found[0], [], offset
            indexes.append(found[1])
            after = offset + 1
    if of is not None:
        yield of, indexes, first


def _now_s() -> float:
    return asyncio.get_running_loop().time()
