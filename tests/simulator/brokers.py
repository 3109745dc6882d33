"""The destination cluster as Kafka's brokers are: what was sent lands in order, late, or never; restarts forget.

The rules of a log itself are those of `mesh.testing`. An append is queued in the gateway, sent by it, and lands here,
which goes on without the gateway; an answer that does not come says nothing of where the batch is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mesh.batch.header import CONTROL_BIT, TRANSACTIONAL_BIT
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import AppendUnknown, ClusterUnreachable, DiskFull, ProducerFenced, SequenceRefused
from mesh.errors import MeshError
from mesh.ids import Partition, TopicId
from mesh.ports import StateOf
from mesh.sequences import ProducerState, Written, after
from mesh.testing.cluster import FakeCluster
from tests.simulator.edges import SLOW_S, Edges
from tests.simulator.loop import Process
from tests.support.records import TIMESTAMP_MS, batch_of, body, framed, resealed

LATE_S = (0.01, 0.3, 2.0)


@dataclass(eq=False)
class Append:
    partition: Partition
    batch: StampedBatch
    state: StateOf | None
    landed: asyncio.Future[int]
    how: str
    after: asyncio.Future[None] | None
    """Done when those before it have stored their state: it is stored in the order of the log."""
    failed: Callable[[MeshError], None]
    """Told at once, so that nothing is sent behind it."""
    answered: Callable[[int], None]
    topic_id: TopicId | None
    """Of the incarnation that it is meant for, None where the broker takes names."""
    connection: int = 0
    """The number of the one that it was sent on."""
    entries: Mapping[str, bytes | None] = field(default_factory=dict)
    """What is to be stored before the answer counts: made as it lands, in the order of the log."""

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
        self.under_way: list[Append] = []
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

    def took(self, append: Append, gateway: str, base_offset: int) -> None:
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
        self._queue: deque[Append] = deque()
        self._serving = False
        self._start = broker.starts
        self._breaks = False

    @property
    def is_open(self) -> bool:
        return not self._breaks and self._start == self._broker.starts

    def send(self, append: Append) -> None:
        append.connection = self.number
        self._broker.under_way.append(append)
        self._queue.append(append)
        if not self._serving:
            self._serving = True
            self._broker.process.start(self._serve(self._broker.starts))

    def lose(self, count: int) -> None:
        """The last `count` of what was sent do not arrive: their sender died."""
        for append in [self._queue.pop() for _ in range(min(count, len(self._queue)))]:
            if append in self._broker.under_way:  # a restart has lost it already
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

    def _break(self, append: Append) -> None:
        """The connection is gone for the gateway, while the broker may yet read what lies in its buffer."""
        self._breaks = True
        for each in (append, *self._queue):
            each.unknown("the connection broke")
        self.lose(self._broker.edges.choose(len(self._queue) + 1))

    def _land(self, append: Append) -> None:
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
            if append.state is not None and not self._joins_state:
                append.entries = append.state(base_offset)
            append.answered(base_offset)
            append.landed.set_result(base_offset)

    def _note(self, error: MeshError, append: Append, known: ProducerState | None) -> None:
        seen = self._broker.edges.seen
        seen["appends refused after a cut"] += (
            isinstance(error, ProducerFenced) and append.partition in self._broker.cuts
        )
        if isinstance(error, SequenceRefused):
            seen["sequences refused"] += 1
            oldest = known.recent[0].base_sequence if known is not None and known.recent else 0
            seen["repeats of what was remembered no more"] += append.batch.base_sequence < oldest
