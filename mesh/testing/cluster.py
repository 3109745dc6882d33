"""A cluster in memory, with Kafka's rules, for tests of whatever uses the ports.

    fake = FakeCluster()
    cluster = fake.ports                      # a mesh.ports.Cluster
    await cluster.topics.create("orders", 1, {})
    fake.put_raw(Partition("orders", 0), batch)
    fake.fail_next("fetch", ClusterUnreachable("fake", "cut"))

Public: its knobs are the things that happen to a log while nobody looks. `joins_state` chooses which kind of
destination it is: like the embedded log (an append and its state are one) or like Kafka (the state follows).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

from mesh.batch.header import parse_header
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import (
    AuditMoved,
    ClusterUnreachable,
    PartitionAbsent,
    StateMoved,
    TopicAbsent,
    TopicExists,
    TopicRecreated,
)
from mesh.ids import Partition, TopicId, TopicName
from mesh.log import AbortedTransaction, Fetched, LogRange, Topic, Witnesses
from mesh.ports import Cluster, StateOf
from mesh.testing.groups import FakeGroups
from mesh.testing.memory_log import MemoryLog
from mesh.testing.ownership import FakeOwnership

MAX_BATCH_BYTES = 1_048_588

Operation: TypeAlias = Literal[
    "create", "describe", "list", "delete", "grow", "configure", "sizes",
    "fetch", "range", "offset_at", "producer", "append", "append answer",
    "witness", "cut", "load", "put", "audit", "groups",
]  # fmt: skip
"""What `fail_next` may fail. "append" fails before anything is written, "append answer" after."""


class FakeCluster:
    def __init__(self, *, cluster_id: str = "fake", joins_state: bool = True, max_in_flight: int = 5) -> None:
        self._topics: dict[str, Topic] = {}
        self._logs: dict[Partition, MemoryLog] = {}
        self._incarnations = 0
        self._producer_ids = 0
        self._failures: dict[Operation, list[Exception]] = defaultdict(list)
        self._watchers: set[asyncio.Future[None]] = set()
        self._answers: set[asyncio.Future[int]] = set()
        self._held: list[asyncio.Future[None]] | None = None
        self.closed = False
        self.now_ms = 0
        """The clock by which the cluster judges timestamps."""
        control, lanes = _Store(self), _Store(self)
        self.ownership = FakeOwnership()
        self.groups = FakeGroups(lambda: self.check("groups"), self.topic)
        self.ports = Cluster(
            cluster_id=cluster_id,
            kind="fake",
            topics=_Topics(self),
            source=_Source(self),
            destination=_Destination(self, lanes, joins_state, max_in_flight),
            control=control,
            lanes=lanes,
            ownership=self.ownership,
            groups=self.groups,
            audit=_Audit(self),
            close=self._close,
        )

    @property
    def waiting_count(self) -> int:
        """How many fetches wait for an append."""
        return len(self._watchers)

    # What happens to logs.

    def put_raw(self, partition: Partition, batch: bytes) -> None:
        """Store a batch as a source may hold it, at the base offset which it states (holes before it are fine)."""
        self.log(partition).put_raw(batch, parse_header(batch).base_offset)
        self.wake()

    def foreign_write(self, partition: Partition, batch: bytes) -> int:
        """Somebody else appends: the batch lands at the end of the log; answers its offset."""
        log = self.log(partition)
        offset = log.put_raw(batch, log.end)
        self.wake()
        return offset

    def set_aborted(self, partition: Partition, aborted: Iterable[AbortedTransaction]) -> None:
        self.log(partition).aborted = tuple(aborted)

    def set_last_stable(self, partition: Partition, offset: int | None) -> None:
        """A transaction is open from `offset` on; None: there is none."""
        self.log(partition).stable_limit = offset
        self.wake()

    def delete_before(self, partition: Partition, offset: int) -> None:
        """Retention takes what lies below `offset`."""
        self.log(partition).delete_before(offset)
        self.wake()

    def truncate(self, partition: Partition, end: int) -> None:
        """The log loses what lies at `end` and above."""
        self.log(partition).truncate(end)
        self.wake()

    def recreate(self, name: str) -> Topic:
        """Delete the topic and create it again under another id, empty."""
        topic = self._drop(name)
        return self._make(name, topic.partitions, topic.config)

    def forget_producers(self) -> None:
        """As a broker does after `producer.id.expiration.ms`."""
        for log in self._logs.values():
            log.producers.clear()

    def fail_next(self, operation: Operation, error: Exception) -> None:
        """The next call of this kind raises `error`; called again, the one after it too."""
        self._failures[operation].append(error)

    def hold_answers(self) -> None:
        """Appends are written, but none is answered until `release_answers`."""
        self._held = []

    def release_answers(self) -> None:
        held, self._held = self._held or [], None
        for answer in held:
            if not answer.done():
                answer.set_result(None)

    # What the ports are made of.

    def log(self, partition: Partition) -> MemoryLog:
        """Raises TopicAbsent, PartitionAbsent."""
        topic = self.topic(partition.topic)
        if partition not in self._logs:
            raise PartitionAbsent(partition.topic, partition.number, topic.partitions)
        return self._logs[partition]

    def topic(self, name: str) -> Topic:
        if name not in self._topics:
            raise TopicAbsent(name)
        return self._topics[name]

    def check(self, operation: Operation) -> None:
        if self.closed:
            raise ClusterUnreachable("fake", "it is closed")
        if self._failures[operation]:
            raise self._failures[operation].pop(0)

    def wake(self) -> None:
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)

    async def change(self, deadline: float) -> None:
        """Wait for the next `wake`, at most until `deadline`."""
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.add(watcher)
        try:
            async with asyncio.timeout_at(deadline):
                await watcher
        except TimeoutError:
            pass
        finally:
            self._watchers.discard(watcher)

    async def may_answer(self) -> None:
        """An append is never answered in the call that made it, and not while answers are held."""
        await asyncio.sleep(0)
        if self._held is not None:
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._held.append(answer)
            await answer

    def in_background(self, answer: Coroutine[None, None, int]) -> asyncio.Future[int]:
        """An answer that comes whether or not somebody awaits it, as that of a real log does."""
        task = asyncio.ensure_future(answer)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        return task

    def _make(self, name: str, partitions: int, config: Mapping[str, str]) -> Topic:
        self._incarnations += 1
        topic_id = TopicId(f"{self._incarnations:032x}")
        topic = self._topics[name] = Topic(name, topic_id, partitions, dict(config), dict(config))
        max_batch_bytes = int(config.get("max.message.bytes", MAX_BATCH_BYTES))
        for number in range(partitions):
            partition = Partition(name, number)
            log = self._logs[partition] = MemoryLog(partition, self._incarnations, max_batch_bytes)
            log.takes = partial(self._why_refused, name)
            log.needs_keys = "compact" in config.get("cleanup.policy", "")
            log.codec = config.get("compression.type", "producer").replace("producer", "")
        return topic

    def _grow(self, name: str, partitions: int) -> Topic:
        topic = self.topic(name)
        first = self._logs[Partition(name, 0)]
        for number in range(topic.partitions, partitions):
            partition = Partition(name, number)
            log = self._logs[partition] = MemoryLog(partition, first.leader_epoch, first.max_batch_bytes)
            log.takes, log.needs_keys, log.codec = first.takes, first.needs_keys, first.codec
        grown = self._topics[name] = replace(topic, partitions=max(topic.partitions, partitions))
        return grown

    def _why_refused(self, name: str, timestamp_ms: int) -> str:
        """As a broker judges timestamps, by the clock `now_ms`."""
        config, out_ms = self.topic(name).config, self.now_ms - timestamp_ms
        for key, distance_ms in (
            ("message.timestamp.before.max.ms", out_ms),
            ("message.timestamp.after.max.ms", -out_ms),
        ):
            if distance_ms > int(config.get(key, distance_ms)):
                return f"{distance_ms} ms are over {key}={config[key]}"
        return ""

    def _drop(self, name: str) -> Topic:
        topic = self.topic(name)
        del self._topics[name]
        for number in range(topic.partitions):
            del self._logs[Partition(name, number)]
        self.wake()
        return topic

    def _next_producer(self) -> Producer:
        self._producer_ids += 1
        return Producer(self._producer_ids, 0)

    async def _close(self) -> None:
        self.closed = True
        self.wake()


class _Topics:
    def __init__(self, fake: FakeCluster) -> None:
        self._fake = fake

    async def create(self, name: str, partitions: int, config: Mapping[str, str]) -> Topic:
        self._fake.check("create")
        if TopicName(name) in self._fake._topics:
            raise TopicExists(name)
        return self._fake._make(name, partitions, config)

    async def describe(self, name: str) -> Topic:
        self._fake.check("describe")
        return self._fake.topic(name)

    async def list(self, wanted: Callable[[str], bool] = lambda name: True) -> list[Topic]:
        self._fake.check("list")
        return [topic for name, topic in sorted(self._fake._topics.items()) if wanted(name)]

    async def grow(self, name: str, partitions: int) -> Topic:
        self._fake.check("grow")
        return self._fake._grow(name, partitions)

    async def configure(self, name: str, settings: Mapping[str, str | None]) -> Topic:
        self._fake.check("configure")
        topic = self._fake.topic(name)
        config = {key: value for key, value in {**topic.config, **settings}.items() if value is not None}
        changed = self._fake._topics[name] = replace(topic, config=config, in_force=config)
        for number in range(topic.partitions):
            log = self._fake.log(Partition(name, number))
            log.max_batch_bytes = int(config.get("max.message.bytes", MAX_BATCH_BYTES))
        return changed

    async def sizes(self, name: str) -> Mapping[int, int] | None:
        self._fake.check("sizes")
        topic = self._fake.topic(name)
        return {number: self._fake.log(Partition(name, number)).size_bytes for number in range(topic.partitions)}

    async def delete(self, name: str) -> None:
        self._fake.check("delete")
        self._fake._drop(name)


class _Source:
    def __init__(self, fake: FakeCluster) -> None:
        self._fake = fake

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            self._fake.check("fetch")
            log = self._fake.log(partition)
            actual_id = self._fake.topic(partition.topic).topic_id
            if topic_id is not None and topic_id != actual_id:
                raise TopicRecreated(partition.topic, topic_id, actual_id)
            fetched = log.fetch(offset, max_bytes, last_epoch)
            if fetched.data or asyncio.get_running_loop().time() >= deadline:
                return fetched
            await self._fake.change(deadline)

    async def range(self, partition: Partition) -> LogRange:
        self._fake.check("range")
        return self._fake.log(partition).range

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int | None:
        self._fake.check("offset_at")
        return self._fake.log(partition).offset_at(timestamp_ms)


class _Destination:
    def __init__(self, fake: FakeCluster, lanes: _Store, joins_state: bool, max_in_flight: int) -> None:
        self.joins_state = joins_state
        self.max_in_flight = max_in_flight
        self._fake = fake
        self._lanes = lanes

    async def producer(self, name: str = "") -> Producer:
        self._fake.check("producer")
        return self._fake._next_producer()

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> Awaitable[int]:
        try:
            self._fake.check("append")
            base_offset = self._fake.log(partition).append(batch)
            entries = state(base_offset) if state is not None else {}
            if self.joins_state:
                self._lanes.store(entries)
        except Exception as error:
            return self._fake.in_background(self._answer(error, {}))
        self._fake.wake()
        return self._fake.in_background(self._answer(base_offset, {} if self.joins_state else entries))

    async def _answer(self, outcome: int | Exception, entries: Mapping[str, bytes | None]) -> int:
        await self._fake.may_answer()
        if isinstance(outcome, Exception):
            raise outcome
        if entries:
            await self._lanes.put(entries)
        self._fake.check("append answer")
        return outcome

    async def witness(self, partition: Partition, producer: Producer, from_offset: int) -> Witnesses:
        self._fake.check("witness")
        topic_id = self._fake.topic(partition.topic).topic_id
        return replace(self._fake.log(partition).witness(producer, from_offset), topic_id=topic_id)

    async def cut(self, name: str, producer: Producer, partitions: Sequence[Partition]) -> Producer:
        assert name, "only a producer with a name can be cut"
        self._fake.check("cut")
        logs = [self._fake.log(partition) for partition in partitions]
        epochs = [state.epoch for log in logs if (state := log.producers.get(producer.id)) is not None]
        newer = Producer(producer.id, max([producer.epoch, *epochs]) + 1)
        for log in logs:
            log.cut(newer)
        return newer


class _Store:
    """Shared by whoever has the ports, as gateways share their cluster."""

    def __init__(self, fake: FakeCluster) -> None:
        self._fake = fake
        self._entries: dict[str, bytes] = {}
        self._touched: dict[str, int] = {}
        self._changed = asyncio.Event()
        self.version = 0

    async def load(self, prefix: str) -> dict[str, bytes]:
        self._fake.check("load")
        return {key: value for key, value in self._entries.items() if key.startswith(prefix)}

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        self._fake.check("put")
        if entries:
            self.store(entries)

    def store(self, entries: Mapping[str, bytes | None]) -> None:
        self.version += 1
        for key, value in entries.items():
            self._touched[key] = self.version
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_changed(self, version: int) -> int:
        while self.version == version:
            await self._changed.wait()
        return self.version

    async def changes_since(self, version: int) -> tuple[int, dict[str, bytes | None]]:
        self._fake.check("load")
        return self.version, {key: self._entries.get(key) for key, at in self._touched.items() if at > version}

    async def change(self, entries: Mapping[str, bytes | None], version: int) -> int:
        self._fake.check("put")
        if not entries:
            return version
        if self.version != version:
            raise StateMoved("the fake")
        self.store(entries)
        return self.version


class _Audit:
    def __init__(self, fake: FakeCluster) -> None:
        self._fake = fake
        self._entries: list[bytes] = []

    async def append(self, entries: Sequence[bytes], index: int) -> None:
        self._fake.check("audit")
        if index == len(self._entries):
            self._entries.extend(entries)
        elif self._entries[index : index + len(entries)] != list(entries):
            raise AuditMoved(index, len(self._entries))

    async def end(self) -> int:
        self._fake.check("audit")
        return len(self._entries)

    async def read(self, from_index: int, limit: int) -> list[bytes]:
        self._fake.check("audit")
        return self._entries[from_index : from_index + limit]
