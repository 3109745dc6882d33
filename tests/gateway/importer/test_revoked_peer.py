"""After a revocation was answered nothing of the peer is appended, however much was under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from gateway.importer.lane import LaneSettings
from gateway.importer.manager import ImportManager
from gateway.importer.pipeline import PipelineSettings
from gateway.peer import Peer
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.batch.stamp import StampedBatch
from mesh.ids import LaneId, OrgId, Partition, SubscriptionName, TopicName
from mesh.lanes.status import LaneState
from mesh.ports import StateOf
from mesh.shares import PeerState, Subscription, TopicMapping
from mesh.testing.cluster import FakeCluster
from tests.support.hubs import FLIGHTS, TOPIC, Both, now_ms, two, until
from tests.support.mirror import dense
from tests.support.trust import organization

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
        settings = LaneSettings(PipelineSettings(DEFAULT_LIMITS, check_records), 1 << 20, 0.01, 0.05)
        imports = ImportManager(ports, globex.registry, globex.hub, settings, now_ms=now_ms, random=Random(1))
        mapping = TopicMapping(TOPIC, COPY)
        await globex.registry.subscribe(Subscription(NAME, acme.organization.org, FLIGHTS, (mapping,)))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(imports.run())
            try:
                yield Importing(both, slow, imports, task)
            finally:
                task.cancel()


@pytest.mark.parametrize("state", [PeerState.REVOKED, PeerState.SUSPENDED])
async def test_nothing_is_appended_after_the_answer_while_many_batches_are_under_way(state: PeerState) -> None:
    async with importing() as run:
        await until(lambda: run.slow.taken - run.slow.written > 20)
        await run.revoke(state)
        taken, end = run.slow.taken, run.end
        assert 0 < end < BATCHES * 3
        assert run.slow.written == taken, "the answer came before the cluster's"
        # The exporter has much more, and is told to go on: none of it arrives.
        acme = run.both.acme
        acme.cluster.put_raw(Partition(TOPIC, 0), dense(BATCHES + 1).batches[-1].data)
        await until(lambda: not acme.hub.status())
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert (run.slow.taken, run.end) == (taken, end)
        (lane,) = run.imports.statuses()
        assert (lane.state, lane.code) == (LaneState.WAITING, "peer-cut")
        assert state in lane.reason


async def test_the_check_at_each_append_holds_before_anything_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry has changed, but no link is cut and no lane is cancelled: the very next append is refused."""
    async with importing() as run:
        await until(lambda: run.slow.written > 5)
        registry, acme = run.both.globex.registry, run.both.acme.organization.org
        assert run.both.globex.task is not None
        run.both.globex.task.cancel()
        monkeypatch.setattr(run.imports, "_stop_unwanted", list)
        taken_then: list[int] = []
        announce = registry._announce

        def announced() -> None:
            taken_then.append(run.slow.taken)
            announce()

        monkeypatch.setattr(registry, "_announce", announced)
        await registry.set_peer_state(acme, PeerState.SUSPENDED)
        await until(lambda: run.imports.statuses()[0].code == "peer-cut")
        assert taken_then == [run.slow.taken]
        assert run.slow.written == run.slow.taken < BATCHES


async def test_a_peer_that_is_resumed_goes_on_exactly_where_it_was() -> None:
    async with importing(120) as run:
        await until(lambda: run.slow.written > 10)
        await run.revoke(PeerState.SUSPENDED)
        end = run.end
        await run.both.globex.registry.set_peer_state(run.both.acme.organization.org, PeerState.ACTIVE)
        await until(lambda: run.end == 120 * 3)
        assert 0 < end < run.end
        view = await run.imports.offset_map(LaneId(NAME, TOPIC, 0))
        assert view is not None
        # every batch was written once
        assert run.slow.written == run.slow.taken == 120


async def test_a_lane_of_another_peer_need_not_wait_for_one_that_settles_slowly() -> None:
    async with importing() as run:
        await until(lambda: run.slow.taken - run.slow.written > 20)
        globex = run.both.globex
        globex.cluster.hold_answers()
        await globex.registry.set_peer_state(run.both.acme.organization.org, PeerState.SUSPENDED)
        other = replace(globex.registry.subscription(NAME), name=SubscriptionName("other"))
        mapping = TopicMapping(TOPIC, TopicName("other.copy"))
        other_peer = await _peer(run.both)
        await globex.registry.subscribe(replace(other, peer=other_peer, topics=(mapping,)))
        await until(lambda: any(lane.lane.subscription == "other" for lane in run.imports.statuses()))
        globex.cluster.release_answers()


async def _peer(both: Both) -> OrgId:
    initech = organization("initech.example", both.globex.organization.now)
    await both.globex.registry.add_peer(Peer(initech.bundle))
    return initech.org
