"""What one gateway has of the destination cluster: its store and its destination, by the rules of the real ones."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import AppendUnknown, ProducerFenced, SequenceRefused, StateMoved
from mesh.errors import MeshError
from mesh.ids import Partition, TopicId
from mesh.log import Witnesses
from mesh.ports import Cluster, StateOf
from tests.simulator.brokers import Append, Broker, Connection
from tests.simulator.edges import Edges, SimulatedSource, SimulatedTopics


class SimulatedStore:
    """The lanes state as one gateway sees it: only who has claimed it last may put."""

    def __init__(self, broker: Broker, edges: Edges) -> None:
        self._broker = broker
        self._edges = edges
        self._lanes = broker.cluster.ports.lanes
        self._token = 0

    @property
    def is_claimed(self) -> bool:
        return self._token == self._broker.claims

    async def claim(self) -> None:
        await self._edges.before("load")
        self._broker.claims += 1
        self._token = self._broker.claims

    async def load(self, prefix: str) -> dict[str, bytes]:
        await self._edges.before("load")
        return await self._lanes.load(prefix)

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        how = await self._edges.before("put")
        await self.put_now(entries)
        await self._edges.pause()
        self._edges.after(how)

    async def put_now(self, entries: Mapping[str, bytes | None]) -> None:
        if self._broker.is_full:
            self._edges.seen["puts to a full disk"] += 1
            raise self._broker.full("the lanes state")
        if not self.is_claimed:
            self._edges.seen["put refused to a former owner"] += 1
            raise StateMoved("the simulation")
        await self._lanes.put(entries)


class SimulatedDestination:
    """`Destination` of one gateway. Once an append has failed, nothing is sent until the log was asked; and nothing by
    an answer that is older than the connection, unless the log still ends where it is known to."""

    def __init__(
        self,
        broker: Broker,
        store: SimulatedStore,
        may_write: Callable[[], bool],
        joins_state: bool,
        gateway: str,
        in_flight: int,
        by_topic_id: bool,
    ) -> None:
        self._gateway = gateway
        self._by_topic_id = by_topic_id
        self.joins_state = joins_state
        self.max_in_flight = in_flight
        self._broker = broker
        self._store = store
        self._may_write = may_write
        self._destination = broker.cluster.ports.destination
        self._waiting: deque[Append] = deque()
        self._wake = asyncio.Event()
        self._broken: set[Partition] = set()
        self._proven: dict[Partition, int] = {}
        """By the number of the connection."""
        self._ends: dict[Partition, int] = {}
        """Of the logs, by the last question and the answers since."""
        self._over: dict[Partition, int] = {}
        """The number of the connection that was open when the log was asked."""
        self.has_asked = False
        self._unanswered: dict[Partition, list[asyncio.Future[int]]] = defaultdict(list)
        self._stored: dict[Partition, asyncio.Future[None]] = {}
        """Done when nothing of the last append, nor of those before it, is still to be stored."""
        self._topic_ids: dict[Partition, TopicId] = {}
        """As of the last question."""
        self.connection = Connection(broker, joins_state, gateway)

    async def producer(self, name: str = "") -> Producer:
        await self._broker.edges.before("producer")
        self.has_asked = True
        known = self._broker.named.get(name)
        made = Producer(known.id, known.epoch + 1) if known else await self._destination.producer(name)
        self._broker.named[name] = made
        if name:
            self._broker.given(made)
        return made

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> asyncio.Future[int]:
        landed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        how = self._broker.edges.take("append")
        if self.joins_state and how == "late":
            how = "full"  # no network lies between a gateway and its embedded log
        after, failed = self._stored.get(partition), partial(self._failed, partition)
        answered = partial(self._answered, partition, batch.count)
        append = Append(partition, batch, state, landed, how, after, failed, answered, self._topic_id(partition))
        self._waiting.append(append)
        self.has_asked = True
        self._wake.set()
        stored = self._stored[partition] = asyncio.get_running_loop().create_future()
        answer: asyncio.Future[int] = asyncio.ensure_future(self._answer(append))
        answer.add_done_callback(lambda _: _when(after, stored))
        unanswered = self._unanswered[partition]
        unanswered[:] = [*(each for each in unanswered if not each.done()), answer]
        return answer

    def _topic_id(self, partition: Partition) -> TopicId | None:
        if not self._by_topic_id:
            return None
        if partition not in self._topic_ids:
            self._topic_ids[partition] = self._broker.cluster.topic(partition.topic).topic_id
        return self._topic_ids[partition]

    async def run(self) -> None:
        """Send what is queued; one task of the gateway."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            await self._broker.edges.pause()
            append = self._waiting.popleft()
            if append.partition in self._broken:
                append.unknown("nothing is sent on a guess")
            elif not await self._connected(append.partition):
                append.unknown("another has written")
            elif append.partition in self._broken:
                append.unknown("nothing is sent on a guess")
            elif not self._may_write():
                self._broker.edges.seen["appends held back without ownership"] += 1
                append.unknown("it is not ours any more")
            else:
                self.connection.send(append)
                number = self.connection.number
                if self._proven.get(append.partition) != number:
                    # a broker that may know nothing of the producer gets one alone
                    await asyncio.wait([append.landed])
                    if append.landed.exception() is None:
                        self._proven[append.partition] = number

    def _connect(self) -> Connection:
        if not self.connection.is_open:
            self.connection = Connection(self._broker, self.joins_state, self._gateway)
        return self.connection

    async def _connected(self, partition: Partition) -> bool:
        """Has a connection over which it may send by what it knows of the log; False where others have written."""
        edges = self._broker.edges
        while True:
            connection = self._connect()
            if partition not in self._ends or self._over[partition] == connection.number:
                return True
            await edges.pause()
            end = self._broker.cluster.log(partition).end
            await edges.pause()
            if connection.is_open:
                if end != self._ends[partition]:
                    edges.seen["appends held back by an answer older than the connection"] += 1
                    return False
                self._over[partition] = connection.number

    def _answered(self, partition: Partition, count: int, base_offset: int) -> None:
        if partition in self._ends:
            self._ends[partition] = max(self._ends[partition], base_offset + count)

    def _failed(self, partition: Partition, error: MeshError) -> None:
        # A broker that refuses the one refuses itself what is out of line behind it.
        if not isinstance(error, SequenceRefused | ProducerFenced):
            self._broken.add(partition)

    async def _answer(self, append: Append) -> int:
        base_offset = await append.landed
        await self._broker.edges.pause()
        if append.entries:
            if append.after is not None:
                await asyncio.wait([append.after])
            try:
                await self._store.put(append.entries)
            except MeshError as error:
                self._broken.add(append.partition)
                raise AppendUnknown(*append.partition, f"its state could not be stored: {error}") from error
        return base_offset

    async def witness(self, partition: Partition, producer: Producer, from_offset: int) -> Witnesses:
        while pending := [each for each in self._unanswered[partition] if not each.done()]:
            await asyncio.wait(pending)
        connection = self._connect()
        how = await self._broker.edges.before("witness")
        first = await self._destination.witness(partition, producer, from_offset)
        await self._broker.edges.pause()
        second = await self._destination.witness(partition, producer, from_offset)
        self._broker.edges.after(how)
        if second.own:
            self._broker.edges.seen["records replayed"] += sum(each.records for each in second.own)
        if second.last_sequence is None:
            self._broker.edges.seen["a producer forgotten"] += 1
        if self._broker.under_way:
            self._broker.edges.seen["logs asked with appends under way"] += 1
        self._broken.discard(partition)
        self._ends[partition], self._over[partition] = second.range.end, connection.number
        self.has_asked = True
        self._broker.asked(partition, self._gateway)
        if second.topic_id is not None:
            self._topic_ids[partition] = second.topic_id
        return replace(second, last_sequence=first.last_sequence)

    async def cut(self, name: str, producer: Producer, partitions: Sequence[Partition]) -> Producer:
        how = await self._broker.edges.before("cut")
        newer = self._broker.cut(name, producer, partitions)
        await self._broker.edges.pause()
        self._broker.edges.after(how)
        return newer


def destination_ports(
    broker: Broker, store: SimulatedStore, destination: SimulatedDestination, edges: Edges
) -> Cluster:
    return replace(
        broker.cluster.ports,
        topics=cast(Any, SimulatedTopics(broker.cluster, edges)),
        source=cast(Any, SimulatedSource(broker.cluster, edges, {})),
        destination=cast(Any, destination),
        lanes=store,
    )


def _when(before: asyncio.Future[None] | None, stored: asyncio.Future[None]) -> None:
    """An append has its answer: nothing of it is to be stored when nothing of those before it is."""
    if before is not None and not before.done():
        before.add_done_callback(lambda _: _when(None, stored))
    elif not stored.done():
        stored.set_result(None)
