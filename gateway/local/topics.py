"""The topics that applications publish to, as they were a moment ago, and the writers of their partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum

from gateway.local.authorship import Anonymous
from gateway.local.holding import key_of
from gateway.local.keyed import PACE_S, Keyed
from gateway.local.placing import BATCH_OVERHEAD_BYTES, PIECE_BYTES
from gateway.local.writing import PAUSE_S, PartitionWriter
from gateway.topics.errors import TopicMirrored
from mesh.batch.limits import Limits
from mesh.cluster_errors import ClusterUnreachable, TopicRecreated
from mesh.errors import MeshError
from mesh.ids import Partition, TopicName
from mesh.local.errors import KeysNotKept
from mesh.log import Topic
from mesh.partitioner import by_key
from mesh.ports import Cluster

FRESH_S = 5.0
"""How old what is known of a topic may be: its partitions, its settings, and that it is the same one still."""
MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's default, where a log does not say."""


class Kind(Enum):
    """Of what is published: each has a writer of its own in a partition, and among each other they have no order."""

    BARE = "bare"
    OWN = "own"
    """Under a key that no other gateway is asked by."""
    SHARED = "shared"
    """Under a key that any gateway may be asked by."""


@dataclass(frozen=True, slots=True)
class WriterSettings:
    gateway: str
    """Our name."""
    window_ms: int
    limits: Limits
    pace_s: float = PACE_S
    pause_s: float = PAUSE_S


class KnownTopic:
    """One incarnation of a topic. `close` ends its writers."""

    def __init__(self, cluster: Cluster, topic: Topic, now_ms: Callable[[], int], settings: WriterSettings) -> None:
        self._cluster, self._now_ms, self._settings = cluster, now_ms, settings
        self._writers: dict[tuple[int, Kind], PartitionWriter] = {}
        self._keyed: dict[tuple[int, Kind], Keyed] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._keyless = 0
        self._looked_for: set[Kind] = set()
        self._over: MeshError | None = None
        self.update(topic)

    def update(self, topic: Topic) -> None:
        """What is known of the same incarnation now."""
        self.topic = topic
        self.partitions = topic.partitions
        self.by_key = by_key(topic.partitions)
        most = int(topic.setting("max.message.bytes") or MAX_MESSAGE_BYTES)
        self.max_record_bytes = most - BATCH_OVERHEAD_BYTES
        self.max_batch_bytes = min(PIECE_BYTES, self.max_record_bytes)

    @property
    def name(self) -> str:
        return self.topic.name

    def next_keyless(self) -> int:
        """Where the records without a key of the next request go: each request's to another partition."""
        self._keyless = (self._keyless + 1) % self.partitions
        return self._keyless

    def writer(self, number: int, kind: Kind) -> PartitionWriter:
        """Raises what it was closed with."""
        found = self._writers.get((number, kind))
        if self._over is not None:
            raise self._over
        if found is None:
            found = self._writers[number, kind] = self._made(Partition(self.name, number), kind)
            self._tasks.append(asyncio.create_task(found.run()))
        return found

    def _made(self, partition: Partition, kind: Kind) -> PartitionWriter:
        destination, known = self._cluster.publishing, self._settings
        if kind is Kind.BARE:
            anonymous = Anonymous(self._cluster, self.topic, partition)
            return PartitionWriter(destination, partition, anonymous, self.max_batch_bytes, known.pause_s)
        keyed = Keyed(
            self._cluster,
            self.topic,
            partition,
            self._now_ms,
            known.window_ms,
            known.limits,
            self._gateway(kind),
            pace_s=known.pace_s,
        )
        self._keyed[partition.number, kind] = keyed
        return PartitionWriter(destination, partition, keyed, self.max_batch_bytes, known.pause_s)

    def _gateway(self, kind: Kind) -> str:
        return self._settings.gateway if kind is Kind.OWN else ""

    async def open_keyed(self, numbers: Collection[int], kind: Kind) -> None:
        """Returns when these partitions may be written under keys and it is known which keys are in the log, there and
        wherever else the topic was written under keys lately: partitions may have been added in between."""
        wanted = {*numbers}
        if kind not in self._looked_for:
            wanted |= await self._written_under_keys(kind)
        await asyncio.gather(*(self.writer(number, kind).opened() for number in sorted(wanted)))
        self._looked_for.add(kind)

    async def _written_under_keys(self, kind: Kind) -> set[int]:
        _, entries = await self._cluster.control.changes_since(0)
        keys = {number: key_of(self.name, number, self._gateway(kind)) for number in range(self.partitions)}
        return {number for number, key in keys.items() if entries.get(key) is not None}

    def keyed(self, kind: Kind) -> Iterator[tuple[int, Keyed]]:
        """The partitions that are written under such keys here, with what is known of them."""
        yield from ((number, keyed) for (number, of), keyed in self._keyed.items() if of is kind)

    def trouble(self) -> str:
        return next((writer.trouble for writer in self._writers.values() if writer.trouble), "")

    async def drained(self) -> None:
        """Returns when nothing waits for its fate any more."""
        for writer in self._writers.values():
            await writer.drained()

    async def close(self, error: MeshError) -> None:
        """What is not durable fails with `error`."""
        self._over = error
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers.values():
            writer.end(error)


@dataclass(slots=True)
class _Kept:
    known: KnownTopic
    until_s: float


@dataclass(eq=False)
class KnownTopics:
    """All that are published to. `mirrored_by` says which subscription writes a topic, empty where none does."""

    cluster: Cluster
    now_ms: Callable[[], int]
    mirrored_by: Callable[[str], str]
    settings: WriterSettings
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _closed: bool = False

    async def get(self, name: str, *, fresh: bool = False) -> KnownTopic:
        """Raises IllegalName, TopicAbsent, TopicMirrored, and ClusterUnreachable after `close`."""
        found = self._kept.get(name)
        if found is None or fresh or _now_s() > found.until_s:
            async with self._lock:
                found = await self._looked_up(name, found)
        if subscription := self.mirrored_by(name):
            raise TopicMirrored(name, subscription)
        return found.known

    async def _looked_up(self, name: str, before: _Kept | None) -> _Kept:
        found = self._kept.get(name)
        if found is not None and found is not before:
            return found
        topic = await self.cluster.topics.describe(str(TopicName(name)))
        if self._closed:
            raise ClusterUnreachable(self.cluster.cluster_id, "the gateway stops")
        if found is not None and found.known.topic.topic_id != topic.topic_id:
            await self.forget(name, TopicRecreated(name, found.known.topic.topic_id, topic.topic_id))
            found = None
        if found is None:
            known = KnownTopic(self.cluster, topic, self.now_ms, self.settings)
        else:
            known = found.known
            known.update(topic)
        kept = self._kept[name] = _Kept(known, _now_s() + FRESH_S)
        return kept

    async def forget(self, name: str, error: MeshError) -> None:
        """The topic is not there any more, or is another one."""
        found = self._kept.pop(name, None)
        if found is not None:
            await found.known.close(error)

    async def close(self, patience_s: float) -> None:
        """Take nothing more; what is under way becomes durable within that time, or fails."""
        self._closed = True
        error = ClusterUnreachable(self.cluster.cluster_id, "the gateway stops")
        try:
            async with asyncio.timeout(patience_s):
                for kept in [*self._kept.values()]:
                    await kept.known.drained()
        except TimeoutError:
            pass
        for name in [*self._kept]:
            await self.forget(name, error)


def check_keeps_keys(topic: Topic, window_ms: int) -> None:
    """A log that is compacted loses records, and with them the keys that they were published under.

    Raises KeysNotKept.
    """
    policy = topic.setting("cleanup.policy") or "delete"
    if "compact" in policy and int(topic.config.get("min.compaction.lag.ms", 0)) < window_ms:
        raise KeysNotKept(topic.name, window_ms)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
