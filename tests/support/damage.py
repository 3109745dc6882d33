"""One lane between two topics of real clusters, through the real exporter and importer over a link in memory, and what
may happen to its logs behind its back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, restamp
from mesh.ids import Partition, TopicName
from mesh.lanes.checkpoint import prefix
from mesh.lanes.status import LaneState, LaneStatus
from mesh.log import LogRange
from mesh.ports import Cluster
from mesh.shares import TopicMapping
from tests.support.batches import stamped
from tests.support.losing import Account, check_account, values_of
from tests.support.mirror import Mirror, mirroring

KEEP = {"retention.ms": "-1"}
OLD_MS = 1_600_000_000_000
"""A time at which a broker has forgotten every producer long ago."""


@dataclass
class _Ports:
    ports: Cluster


@dataclass
class Pairing:
    """`source` and `destination` are partitions of one cluster, or of two."""

    cluster: Cluster
    mapping: TopicMapping
    producer: Producer
    account: Account = field(default_factory=Account)
    sequence: int = 0

    @classmethod
    async def make(cls, cluster: Cluster, **config: str) -> Pairing:
        """Two new topics of one partition; `config` is of the destination's, with underscores for dots."""
        name = uuid4().hex[:8]
        mapping = TopicMapping(TopicName(f"source-{name}"), TopicName(f"copy-{name}"))
        await cluster.topics.create(mapping.source_topic, 1, KEEP)
        wanted = KEEP | {key.replace("_", "."): value for key, value in config.items()}
        await cluster.topics.create(mapping.destination_topic, 1, wanted)
        return cls(cluster, mapping, await cluster.destination.producer())

    @property
    def source(self) -> Partition:
        return Partition(self.mapping.source_topic, 0)

    @property
    def destination(self) -> Partition:
        return Partition(self.mapping.destination_topic, 0)

    def mirror(self, **options: object) -> Mirror:
        options = {"fetch_bytes": 1 << 20, "credit_bytes": 1 << 20} | options
        return Mirror(_Ports(self.cluster), self.cluster, mapping=self.mapping, **options)  # type: ignore[arg-type]

    async def produce(
        self, count: int, *, copied: bool = True, timestamp_ms: int | None = None, key: bytes | None = None
    ) -> None:
        """Records in batches of one: with the present time, unless another is given."""
        for value in self.account.values(count):
            await self.put(value, copied=copied, timestamp_ms=timestamp_ms, key=key)

    async def put(
        self, value: bytes, *, copied: bool = True, timestamp_ms: int | None = None, key: bytes | None = None
    ) -> None:
        stamp_ms = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
        batch = restamp(encode([Record(0, stamp_ms, key, value)]), self.producer, self.sequence)
        offset = await self.cluster.destination.append(self.source, batch)
        self.sequence += 1
        self.account.produced(offset, [value], copied=copied)

    async def intrude(self, value: bytes = b"intruder") -> int:
        """Somebody else writes to the destination."""
        producer = await self.cluster.destination.producer()
        return await self.cluster.destination.append(self.destination, stamped(producer, 0, [value]))

    async def recreate_source(self) -> None:
        await self.cluster.topics.delete(self.mapping.source_topic)
        await self.cluster.topics.create(self.mapping.source_topic, 1, KEEP)
        self.producer, self.sequence = await self.cluster.destination.producer(), 0
        self.account.recreated()

    async def copy(self, mirror: Mirror | None = None) -> LaneStatus:
        """Run the lane until it is at the end of the source."""
        end = (await self.range()).end
        async with mirroring(mirror or self.mirror()) as running:
            return await running.until(
                lambda status: status.source_position == end and status.state is LaneState.RUNNING
            )

    async def stop(self, mirror: Mirror | None = None) -> LaneStatus:
        """Run the lane until it stops; it must have written nothing."""
        before = await values_of(self.cluster, self.destination)
        async with mirroring(mirror or self.mirror()) as running:
            status = await running.until_stopped()
        assert await values_of(self.cluster, self.destination) == before, "something was written"
        return status

    async def range(self) -> LogRange:
        return await self.cluster.source.range(self.source)

    async def check(self) -> None:
        await check_account(self.account, self.cluster, self.mirror().lane, self.destination)

    async def snapshot(self) -> dict[str, bytes]:
        """The lane's state as it is stored now; put back, it is as if a crash had lost what was stored since."""
        return await self.cluster.lanes.load(prefix(self.mirror().lane))


@asynccontextmanager
async def running(pairing: Pairing, **options: object) -> AsyncIterator[Mirror]:
    async with mirroring(pairing.mirror(**options)) as mirror:
        yield mirror
