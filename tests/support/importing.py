"""A subscription that is imported between two real hubs, into a cluster that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from gateway.importer.lane import LaneSettings
from gateway.importer.manager import ImportManager
from gateway.importer.pipeline import PipelineSettings
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.batch.stamp import StampedBatch
from mesh.ids import Partition, SubscriptionName, TopicName
from mesh.ports import StateOf
from mesh.shares import PeerState, Subscription, TopicMapping
from mesh.testing.cluster import FakeCluster
from tests.support.hubs import FLIGHTS, TOPIC, Both, now_ms, two
from tests.support.mirror import dense

COPY = TopicName("acme.departures")
TO = Partition(COPY, 0)
NAME = SubscriptionName("flights")
BATCHES = 400


class SlowDestination:
    """Takes an append at once and writes it a while later, one after the other, as a busy broker does."""

    max_in_flight = 64

    def __init__(self, fake: FakeCluster) -> None:
        self._fake = fake
        self._inner = fake.ports.destination
        self._turn = asyncio.Lock()
        self.taken = 0
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, partition: Partition, batch: StampedBatch, state: StateOf | None = None) -> asyncio.Future[int]:
        self.taken += 1
        return self._fake.in_background(self._later(partition, batch, state))

    async def _later(self, partition: Partition, batch: StampedBatch, state: StateOf | None) -> int:
        async with self._turn:
            await asyncio.sleep(0.002)
            offset = await self._inner.append(partition, batch, state)
            self.written += 1
            return offset


@dataclass
class Importing:
    both: Both
    slow: SlowDestination
    imports: ImportManager
    task: asyncio.Task[None]

    @property
    def end(self) -> int:
        return self.both.globex.cluster.log(TO).end

    async def revoke(self, state: PeerState = PeerState.REVOKED) -> None:
        """As the admin API does, up to its answer."""
        acme = self.both.acme.organization.org
        await self.both.globex.registry.set_peer_state(acme, state)
        await self.both.globex.hub.stopped(acme)
        await self.imports.peer_stopped(acme)


@asynccontextmanager
async def importing(batches: int = BATCHES) -> AsyncIterator[Importing]:
    """GLOBEX copies a long topic of ACME into a slow cluster."""
    async with two() as both:
        acme, globex = both.acme, both.globex
        for batch in dense(batches).batches[3:]:
            acme.cluster.put_raw(Partition(TOPIC, 0), batch.data)
        await globex.cluster.ports.topics.create(COPY, 1, {})
        slow = SlowDestination(globex.cluster)
        ports = replace(globex.cluster.ports, destination=slow)
        settings = LaneSettings(PipelineSettings(DEFAULT_LIMITS, check_records, joined_bytes=0), 1 << 20, 0.01, 0.05)
        imports = ImportManager(ports, globex.registry, globex.hub, settings, now_ms=now_ms, random=Random(1))
        mapping = TopicMapping(TOPIC, COPY)
        await globex.registry.subscribe(Subscription(NAME, acme.organization.org, FLIGHTS, (mapping,)))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(imports.run())
            try:
                yield Importing(both, slow, imports, task)
            finally:
                task.cancel()
