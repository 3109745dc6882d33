"""GLOBEX follows what ACME offers: two hubs, and the import manager of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

from gateway.importer.lane import LaneSettings
from gateway.importer.manager import ImportManager
from gateway.importer.pipeline import PipelineSettings
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.ids import Partition, SubscriptionName, TopicName
from mesh.lanes.status import LaneStatus
from mesh.patterns import PatternMapping
from mesh.ports import Cluster
from mesh.shares import StartAt, Subscription, TopicMapping
from tests.support.batches import numbered, plain_batch, records_in
from tests.support.hubs import DEADLINE_S, FLIGHTS, TOPIC, Both, now_ms, two, until

NAME = SubscriptionName("flights")
KAFKA_DEADLINE_S = 40


@dataclass
class Following:
    both: Both
    imports: ImportManager

    async def subscribe(
        self, *topics: TopicMapping, patterns: Iterable[tuple[str, str]] = (), start: str = "earliest", **terms: bool
    ) -> None:
        """Makes no topics: `gateway.subscribing` does."""
        found = tuple(PatternMapping.parsed(*pair) for pair in patterns)
        peer = self.both.acme.organization.org
        subscription = Subscription(
            NAME,
            peer,
            FLIGHTS,
            topics,
            StartAt.parse(start),
            follow_config=terms.get("follow_config", False),
            patterns=found,
        )
        await self.both.globex.registry.subscribe(subscription)

    @property
    def held(self) -> int:
        """How many records the provider's first topic holds."""
        return self.both.acme.cluster.log(Partition(TOPIC, 0)).end

    def write(self, topic: str, partition: int, count: int = 1) -> None:
        """Records of the provider, whose values are their offsets."""
        first = self.both.acme.cluster.log(Partition(topic, partition)).end
        batch = plain_batch(numbered(*range(first, first + count)), base_offset=first)
        self.both.acme.cluster.put_raw(Partition(topic, partition), batch)

    async def copied(self, topic: str, partition: int, count: int) -> list[bytes]:
        """The values at the destination, as soon as there are that many."""
        cluster, place = self.both.globex.cluster, Partition(topic, partition)
        await until(lambda: topic in cluster._topics and cluster.topic(topic).partitions > partition)
        await until(lambda: cluster.log(place).end >= count)
        fetched = await cluster.ports.source.fetch(place, 0, None, 1 << 20, 0)
        return [value for _, value in records_in(fetched.data)]

    async def status(self, condition: Callable[[LaneStatus], bool]) -> LaneStatus:
        await until(lambda: any(condition(status) for status in self.imports.statuses()))
        return next(status for status in self.imports.statuses() if condition(status))

    async def create(self, gateway: str, topic: str, partitions: int = 1, **config: str) -> None:
        cluster = getattr(self.both, gateway).cluster.ports
        await cluster.topics.create(topic, partitions, {key.replace("_", "."): value for key, value in config.items()})

    def lanes(self) -> set[tuple[str, int]]:
        return {(status.lane.topic, status.lane.partition) for status in self.imports.statuses()}


@asynccontextmanager
async def following(kafka: Cluster | None = None) -> AsyncIterator[Following]:
    """`kafka`: where the records of both are; what they have agreed on stays in memory."""

    def ports(fake: Cluster) -> Cluster:
        return fake if kafka is None else replace(kafka, control=fake.control, audit=fake.audit)

    async with two(acme_ports=ports, deadline_s=DEADLINE_S if kafka is None else KAFKA_DEADLINE_S) as both:
        settings = LaneSettings(PipelineSettings(DEFAULT_LIMITS, check_records, joined_bytes=0), 1 << 20, 0.01, 0.05)
        globex = both.globex
        imports = ImportManager(
            ports(globex.cluster.ports), globex.registry, globex.hub, settings, now_ms=now_ms, random=Random(1)
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(imports.run())
            await globex.hub.wait(both.acme.organization.org)
            try:
                yield Following(both, imports)
            finally:
                task.cancel()


def mapping(source: str, destination: str, partitions: int | None = None) -> TopicMapping:
    return TopicMapping(TopicName(source), TopicName(destination), partitions)
