"""A cluster of Kafka's rules behind a network: calls take time and fail, and what was sent may land late.

The rules of a log itself are those of `mesh.testing`; here is what lies between a gateway and its log. Each gateway has
ports of its own. An append is queued in the gateway, sent by it, and lands at the broker, which goes on without the
gateway; an answer that does not come says nothing of where the batch is.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any, cast

from mesh.batch.header import CONTROL_BIT, TRANSACTIONAL_BIT, split
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import AppendUnknown, ClusterUnreachable, DiskFull, ProducerFenced, SequenceRefused, StateMoved
from mesh.errors import MeshError
from mesh.ids import Partition, TopicId
from mesh.log import Fetched, LogRange, Topic, Witnesses
from mesh.ports import Cluster, StateOf
from mesh.sequences import ProducerState, Written, after
from mesh.testing.cluster import FakeCluster
from tests.simulator.loop import Process
from tests.simulator.truth import Truth
from tests.support.records import TIMESTAMP_MS, batch_of, body, framed, resealed

SLOW_S = 3.0
LATE_S = (0.01, 0.3, 2.0)


class Edges:
    """Where calls to clusters wait and fail. `arm` makes the next call of an operation fail in the way named."""

    def __init__(self, random: Random, seen: Counter[str]) -> None:
        self._random = random
        self.seen = seen
        self._armed: dict[str, deque[str]] = defaultdict(deque)

    def arm(self, operation: str, how: str) -> None:
        self._armed[operation].append(how)

    def heal(self) -> None:
        self._armed.clear()

    def take(self, operation: str) -> str:
        armed = self._armed.get(operation)
        if not armed:
            return ""
        how = armed.popleft()
        self.seen[f"{operation} {how}"] += 1
        return how

    async def pause(self) -> None:
        """A step of its own at the least, now and then some time."""
        await asyncio.sleep(0.004 if self._random.random() < 0.2 else 0)

    async def before(self, operation: str) -> str:
        how = self.take(operation)
        if how == "slow":
            await asyncio.sleep(SLOW_S)
        else:
            await self.pause()
        if how == "before":
            raise ClusterUnreachable("simulated", "the connection was refused")
        return how

    def after(self, how: str) -> None:
        if how == "after":
            raise ClusterUnreachable("simulated", "the connection broke before the answer")

    def choose(self, count: int) -> int:
        return int(self._random.random() * count)


class SimulatedSource:
    """Reads; with `truths`, names aborted transactions as a broker's index does."""

    def __init__(self, cluster: FakeCluster, edges: Edges, truths: Mapping[Partition, Truth]) -> None:
        self._source = cluster.ports.source
        self._edges = edges
        self._truths = truths
        self.offset_at = self._source.offset_at

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        how = await self._edges.before("fetch")
        fetched = await self._source.fetch(partition, offset, topic_id, max_bytes, wait_s, last_epoch)
        if partition in self._truths and fetched.data:
            truth, headers = self._truths[partition], [header for header, _ in split(fetched.data)]
            self._edges.seen["fetches from within a transaction"] += truth.is_inside(offset)
            aborted = truth.aborted(headers[0].base_offset, headers[-1].next_offset)
            fetched = replace(fetched, aborted=aborted)
        await self._edges.pause()
        self._edges.after(how)
        return fetched

    async def range(self, partition: Partition) -> LogRange:
        await self._edges.before("range")
        return await self._source.range(partition)


class SimulatedTopics:
    def __init__(self, cluster: FakeCluster, edges: Edges) -> None:
        self._topics = cluster.ports.topics
        self._edges = edges

    def __getattr__(self, name: str) -> Any:
        return getattr(self._topics, name)

    async def describe(self, name: str) -> Topic:
        await self._edges.before("describe")
        return await self._topics.describe(name)


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


@dataclass(eq=False)
class _Append:
    partition: Partition
    batch: StampedBatch
    state: StateOf | None
    landed: asyncio.Future[int]
    how: str
    after: asyncio.Future[int] | None
    """The answer of the append before it that has state to store: state is stored in the order of the log."""
    failed: Callable[[MeshError], None]
    """Told at once, so that nothing is sent behind it."""
    answered: Callable[[int], None]
    topic_id: TopicId | None
    """Of the incarnation that it is meant for, None where the broker takes names."""
    connection: int = 0
    """The number of the one that it was sent on."""

    def fail(self, error: MeshError) -> None:
        if not self.landed.done():
            self.failed(error)
            self.landed.set_exception(error)

    def unknown(self, why: str) -> None:
        self.fail(AppendUnknown(*self.partition, why))


class Broker:
    """The destination cluster's side of every connection."""

    def __init__(self, cluster: FakeCluster, process: Process, edges: Edges) -> None:
        self.cluster = cluster
        self.process = process
        self.edges = edges
        self.claims = 0
        self.starts = self.connections = 0
        self.named: dict[str, Producer] = {}
        self.sure: dict[Partition, set[str]] = defaultdict(set)
        """The gateways that know where the log ends: nobody else has written since they asked."""
        self.full_until_s = 0.0
        self.cuts: dict[Partition, Producer] = {}
        """Where a marker of a strict cut lies: its time is the present, so that it is not forgotten soon."""
        self.violated: Callable[[str], None] = lambda why: None
        self.last: dict[Partition, str] = {}
        """Who wrote last."""
        self.unsure: Callable[[Partition], None] = lambda partition: None
        """Told of the last batch where another has written since its gateway asked: by rule C it is the right one."""
        self.under_way: list[_Append] = []
        """Sent, and neither landed nor lost."""
        self.given: Callable[[Producer], None] = lambda producer: None
        """Told each producer that was made under a name."""
        self.landed: Callable[[str], None] = lambda gateway: None
        """Told the name of the gateway of each append that landed."""

    def restart(self, writers: set[str]) -> None:
        """Connections end, what is under way on them is lost, and producers whose records are old are forgotten.

        Where one of the `writers` has asked the log and another has written since, the broker would take from the one
        what it has from the other. Nobody else can keep it from that.
        """
        self.starts += 1
        for append in self.under_way:
            append.unknown("the broker went away")
        self.under_way.clear()
        stale = any(writers - self.sure[partition] for partition in self.cluster._logs)
        self.edges.seen["producers forgotten between a question and an append"] += stale
        self.cluster.forget_producers()
        for partition, log in self.cluster._logs.items():
            if partition in self.cuts:
                log.cut(self.cuts[partition])
            log.elect()

    @property
    def is_full(self) -> bool:
        return asyncio.get_running_loop().time() < self.full_until_s

    def full(self, what: str) -> MeshError:
        """What a gateway gets to hear of a full disk: of its own, or of a broker that is gone for it."""
        return (
            DiskFull(what)
            if self.cluster.ports.destination.joins_state
            else ClusterUnreachable("simulated", "no space")
        )

    def cut(self, name: str, producer: Producer, partitions: Sequence[Partition]) -> Producer:
        """A marker at a newer epoch in each partition: from here on the older one is refused."""
        known = [state.epoch for each in partitions if (state := self.cluster.log(each).producers.get(producer.id))]
        epochs = [producer.epoch, *known, *(each.epoch for each in self.named.values() if each.id == producer.id)]
        newer = self.named[name] = Producer(producer.id, max(epochs) + 1)
        for partition in partitions:
            log = self.cluster.log(partition)
            log.put_raw(_marker(newer), log.end)
            log.cut(newer)
            self.cuts[partition] = newer
        self.cluster.wake()
        return newer

    def recreate(self, name: str) -> None:
        """Everything that was in the topic is gone, and so is what was known of its producers."""
        self.cluster.recreate(name)
        self.cuts.clear()
        self.sure.clear()

    def asked(self, partition: Partition, gateway: str) -> None:
        """The gateway knows the log's end now."""
        self.sure[partition].add(gateway)

    def took(self, append: _Append, gateway: str, base_offset: int) -> None:
        """A batch was written."""
        partition, batch = append.partition, append.batch
        if self.last.get(partition, gateway) != gateway and gateway not in self.sure[partition]:
            self.unsure(partition)
        self.last[partition], self.sure[partition] = gateway, {gateway}
        if partition in self.cuts and batch.producer < self.cuts[partition]:
            self.violated(f"fencing: {gateway} wrote at {base_offset} of {partition} after the cut")
        own = [header for header, _ in self.cluster.log(partition)._entries[:-1]
               if (header.producer_id, header.producer_epoch) == batch.producer]  # fmt: skip
        if any(header.base_sequence + header.records_count > batch.base_sequence for header in own):
            self.violated(f"no duplicate: {gateway} wrote sequence {batch.base_sequence} of {partition} again")

    def truncate(self, partition: Partition, batches: int) -> bool:
        """An unclean election: the last batches are gone, and so is what was remembered of their producers."""
        log = self.cluster.log(partition)
        ends = [0, *(entry.header.next_offset for entry in log._entries)]
        if len(ends) == 1:
            return False
        self.cluster.truncate(partition, ends[-1 - min(batches, len(ends) - 1)])
        log.producers.clear()
        for header, _ in log._entries:
            if (known := header.producer_id) >= 0:
                written = Written(header.base_sequence, header.records_count, header.base_offset)
                log.producers[known] = after(log.producers.get(known), header.producer_epoch, written)
        self.sure.clear()
        return True


def _marker(producer: Producer) -> bytes:
    record = Record(0, TIMESTAMP_MS, bytes(4), bytes(6))
    batch = bytearray(
        batch_of(framed(body(record)), 1, attributes=CONTROL_BIT | TRANSACTIONAL_BIT, producer_id=producer.id)
    )
    batch[51:53] = producer.epoch.to_bytes(2, "big")
    return resealed(bytes(batch))


class Connection:
    """One gateway's connection: what is sent lands in order, or is lost with all that follows it."""

    def __init__(self, broker: Broker, joins_state: bool, gateway: str) -> None:
        self._gateway = gateway
        broker.connections += 1
        self.number = broker.connections
        self._broker = broker
        self._joins_state = joins_state
        self._queue: deque[_Append] = deque()
        self._serving = False
        self._start = broker.starts
        self._breaks = False

    @property
    def is_open(self) -> bool:
        return not self._breaks and self._start == self._broker.starts

    def send(self, append: _Append) -> None:
        append.connection = self.number
        self._broker.under_way.append(append)
        self._queue.append(append)
        if not self._serving:
            self._serving = True
            self._broker.process.start(self._serve(self._broker.starts))

    def lose(self, count: int) -> None:
        """The last `count` of what was sent do not arrive: their sender died."""
        for append in [self._queue.pop() for _ in range(min(count, len(self._queue)))]:
            self._broker.under_way.remove(append)
            append.unknown("lost")

    async def _serve(self, start: int) -> None:
        edges = self._broker.edges
        while self._queue:
            append = self._queue.popleft()
            if append.how == "slow":
                await asyncio.sleep(SLOW_S)
            elif append.how == "late":
                self._break(append)
                await asyncio.sleep(LATE_S[edges.choose(len(LATE_S))])
                edges.seen["appends that came in late"] += 1
            else:
                await edges.pause()
            if append in self._broker.under_way:
                self._broker.under_way.remove(append)
                self._land(append)
        self._serving = False

    def _break(self, append: _Append) -> None:
        """The connection is gone for the gateway, while the broker may yet read what lies in its buffer."""
        self._breaks = True
        for each in (append, *self._queue):
            each.unknown("the connection broke")
        self.lose(self._broker.edges.choose(len(self._queue) + 1))

    def _land(self, append: _Append) -> None:
        if append.how in ("lost", "full"):
            is_full = append.how == "full"
            self._breaks = not is_full
            for each in (append, *self._queue):
                each.fail(DiskFull("the log") if is_full else AppendUnknown(*append.partition, "no answer"))
            self.lose(len(self._queue))
            return
        broker, seen = self._broker, self._broker.edges.seen
        cluster, log = broker.cluster, broker.cluster.log(append.partition)
        if broker.is_full:
            seen["appends to a full disk"] += 1
            append.fail(broker.full("the log") if self._joins_state else AppendUnknown(*append.partition, "no space"))
            return
        if append.topic_id not in (None, cluster.topic(append.partition.topic).topic_id):
            seen["appends refused by another topic of the name"] += 1
            append.unknown("the broker knows no topic of that id")
            return
        end, known = log.end, log.producers.get(append.batch.producer.id)
        try:
            base_offset = log.append(append.batch)
        except MeshError as error:
            self._note(error, append, known)
            append.fail(error)
            return
        if log.end == end:
            seen["repeats answered with the first offset"] += 1
        else:
            older = (each.connection < self.number for each in broker.under_way if each.partition == append.partition)
            seen["appends that overtook an older connection's"] += any(older)
            broker.took(append, self._gateway, base_offset)
        cluster.wake()
        if self._joins_state and append.state is not None:
            cluster.ports.lanes.store(append.state(base_offset))  # type: ignore[attr-defined]
        self._broker.landed(self._gateway)
        if append.how == "unanswered":
            self._break(append)
        elif not append.landed.done():
            append.answered(base_offset)
            append.landed.set_result(base_offset)

    def _note(self, error: MeshError, append: _Append, known: ProducerState | None) -> None:
        seen = self._broker.edges.seen
        seen["appends refused after a cut"] += (
            isinstance(error, ProducerFenced) and append.partition in self._broker.cuts
        )
        if isinstance(error, SequenceRefused):
            seen["sequences refused"] += 1
            oldest = known.recent[0].base_sequence if known is not None and known.recent else 0
            seen["repeats of what was remembered no more"] += append.batch.base_sequence < oldest


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
        self._waiting: deque[_Append] = deque()
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
        self._stateful: dict[Partition, asyncio.Future[int]] = {}
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
        stateful, failed = self._stateful.get(partition), partial(self._failed, partition)
        answered = partial(self._answered, partition, batch.count)
        append = _Append(partition, batch, state, landed, how, stateful, failed, answered, self._topic_id(partition))
        self._waiting.append(append)
        self.has_asked = True
        self._wake.set()
        answer: asyncio.Future[int] = asyncio.ensure_future(self._answer(append))
        unanswered = self._unanswered[partition]
        unanswered[:] = [*(each for each in unanswered if not each.done()), answer]
        if state is not None:
            self._stateful[partition] = answer
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

    async def _answer(self, append: _Append) -> int:
        base_offset = await append.landed
        await self._broker.edges.pause()
        if append.state is not None and not self.joins_state:
            if append.after is not None:
                await asyncio.wait([append.after])
            try:
                await self._store.put(append.state(base_offset))
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


def source_ports(cluster: FakeCluster, edges: Edges, truths: Mapping[Partition, Truth]) -> Cluster:
    topics = cast(Any, SimulatedTopics(cluster, edges))
    return replace(cluster.ports, topics=topics, source=cast(Any, SimulatedSource(cluster, edges, truths)))


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
