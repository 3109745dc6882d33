"""A cluster of Kafka's rules behind a network: calls take time and fail, and what was sent may land late.

The rules of a log itself are those of `mesh.testing`; here is what lies between a gateway and its log. Each gateway has
ports of its own. An append is queued in the gateway, sent by it, and lands at the broker, which goes on without the
gateway; an answer that does not come says nothing of where the batch is.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, cast

from mesh.batch.header import split
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import AppendUnknown, ClusterUnreachable, DiskFull, ProducerFenced, SequenceRefused, StateMoved
from mesh.errors import MeshError
from mesh.ids import Partition, TopicId
from mesh.log import Fetched, LogRange, Topic, Witnesses
from mesh.ports import Cluster, StateOf
from mesh.sequences import Written, after
from mesh.testing.cluster import FakeCluster
from tests.simulator.loop import Process
from tests.simulator.truth import Truth

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
    """Reads; with `truth`, names aborted transactions as a broker's index does."""

    def __init__(self, cluster: FakeCluster, edges: Edges, truth: Truth | None) -> None:
        self._source = cluster.ports.source
        self._edges = edges
        self._truth = truth
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
        if self._truth is not None and fetched.data:
            headers = [header for header, _ in split(fetched.data)]
            aborted = self._truth.aborted(headers[0].base_offset, headers[-1].next_offset)
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
        self.starts = 0
        self.named: dict[str, Producer] = {}
        self.sure: set[str] = set()
        """The gateways that know where the log ends: nobody else has written since they asked."""
        self.under_way: list[_Append] = []
        """Sent, and neither landed nor lost."""
        self.given: Callable[[Producer], None] = lambda producer: None
        """Told each producer that was made under a name."""
        self.landed: Callable[[str], None] = lambda gateway: None
        """Told the name of the gateway of each append that landed."""

    def restart(self, writers: set[str]) -> None:
        """What is under way is lost, and producers whose records are old are forgotten.

        Not where one of the `writers` has asked the log and another has written since: if the broker then forgets, too,
        before the first writes, nothing but the answered offset tells. That bound is stated, and tried elsewhere.
        """
        self.starts += 1
        for append in self.under_way:
            append.unknown("the broker went away")
        self.under_way.clear()
        if writers <= self.sure:
            self.cluster.forget_producers()
        else:
            self.edges.seen["broker restarts that forgot nothing"] += 1
        self.cluster.log(next(iter(self.cluster._logs))).elect()

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


class Connection:
    """One gateway's connection: what is sent lands in order, or is lost with all that follows it."""

    def __init__(self, broker: Broker, joins_state: bool, gateway: str) -> None:
        self._gateway = gateway
        self._broker = broker
        self._joins_state = joins_state
        self._queue: deque[_Append] = deque()
        self._serving = False
        self.is_open = True

    def send(self, append: _Append) -> None:
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
        self.is_open = False
        for each in (append, *self._queue):
            each.unknown("the connection broke")
        self.lose(self._broker.edges.choose(len(self._queue) + 1))

    def _land(self, append: _Append) -> None:
        if append.how in ("lost", "full"):
            self.is_open = append.how == "full"
            for each in (append, *self._queue):
                each.fail(DiskFull("the log") if self.is_open else AppendUnknown(*append.partition, "no answer"))
            self.lose(len(self._queue))
            return
        cluster, log = self._broker.cluster, self._broker.cluster.log(append.partition)
        end = log.end
        try:
            base_offset = log.append(append.batch)
        except MeshError as error:
            if isinstance(error, SequenceRefused):
                self._broker.edges.seen["sequences refused"] += 1
            append.fail(error)
            return
        if log.end == end:
            self._broker.edges.seen["repeats answered with the first offset"] += 1
        else:
            self._broker.sure = {self._gateway}
        cluster.wake()
        if self._joins_state and append.state is not None:
            cluster.ports.lanes.store(append.state(base_offset))  # type: ignore[attr-defined]
        self._broker.landed(self._gateway)
        if append.how == "unanswered":
            self._break(append)
        elif not append.landed.done():
            append.landed.set_result(base_offset)


class SimulatedDestination:
    """Once an append has failed, nothing is sent until the log was asked: `Destination` of one gateway."""

    def __init__(
        self,
        broker: Broker,
        store: SimulatedStore,
        may_write: Callable[[], bool],
        joins_state: bool,
        gateway: str,
        in_flight: int,
    ) -> None:
        self._gateway = gateway
        self.joins_state = joins_state
        self.max_in_flight = in_flight
        self._broker = broker
        self._store = store
        self._may_write = may_write
        self._destination = broker.cluster.ports.destination
        self._waiting: deque[_Append] = deque()
        self._unanswered: list[asyncio.Future[int]] = []
        self._wake = asyncio.Event()
        self._is_broken = False
        self.has_asked = False
        self._stateful: asyncio.Future[int] | None = None
        self.connection = Connection(broker, joins_state, gateway)

    async def producer(self, name: str = "") -> Producer:
        await self._broker.edges.before("producer")
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
        append = _Append(partition, batch, state, landed, how, self._stateful, self._failed)
        self._waiting.append(append)
        self.has_asked = True
        self._wake.set()
        answer: asyncio.Future[int] = asyncio.ensure_future(self._answer(append))
        self._unanswered = [each for each in self._unanswered if not each.done()]
        self._unanswered.append(answer)
        if state is not None:
            self._stateful = answer
        return answer

    async def run(self) -> None:
        """Send what is queued; one task of the gateway."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            await self._broker.edges.pause()
            append = self._waiting.popleft()
            if self._is_broken:
                append.unknown("nothing is sent on a guess")
            elif not self._may_write():
                self._broker.edges.seen["appends held back without ownership"] += 1
                append.unknown("it is not ours any more")
            else:
                if not self.connection.is_open:
                    self.connection = Connection(self._broker, self.joins_state, self._gateway)
                self.connection.send(append)

    def _failed(self, error: MeshError) -> None:
        # A broker that refuses the one refuses itself what is out of line behind it.
        self._is_broken = self._is_broken or not isinstance(error, SequenceRefused | ProducerFenced)

    async def _answer(self, append: _Append) -> int:
        base_offset = await append.landed
        await self._broker.edges.pause()
        if append.state is not None and not self.joins_state:
            if append.after is not None:
                await asyncio.wait([append.after])
            try:
                await self._store.put(append.state(base_offset))
            except MeshError as error:
                self._is_broken = True
                raise AppendUnknown(*append.partition, f"its state could not be stored: {error}") from error
        return base_offset

    async def witness(self, partition: Partition, producer: Producer, from_offset: int) -> Witnesses:
        while pending := [each for each in self._unanswered if not each.done()]:
            await asyncio.wait(pending)
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
        self._is_broken = False
        self.has_asked = True
        self._broker.sure.add(self._gateway)
        return replace(second, last_sequence=first.last_sequence)

    cut = None


def source_ports(cluster: FakeCluster, edges: Edges, truth: Truth) -> Cluster:
    topics = cast(Any, SimulatedTopics(cluster, edges))
    return replace(cluster.ports, topics=topics, source=cast(Any, SimulatedSource(cluster, edges, truth)))


def destination_ports(
    broker: Broker, store: SimulatedStore, destination: SimulatedDestination, edges: Edges
) -> Cluster:
    return replace(
        broker.cluster.ports,
        topics=cast(Any, SimulatedTopics(broker.cluster, edges)),
        source=cast(Any, SimulatedSource(broker.cluster, edges, None)),
        destination=cast(Any, destination),
        lanes=store,
    )
