"""Threat 3: after the answer to a revocation nothing is appended; what ends by the clock ends by one that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from gateway.exporter import ExportSettings
from mesh.batch.stamp import StampedBatch
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.ports import StateOf
from mesh.shares import Grant
from mesh.testing.cluster import FakeCluster
from tests.support import hubs, importing
from tests.support.hubs import FLIGHTS, TOPIC, lane_of, two, until
from tests.support.importing import SlowDestination
from tests.support.mirror import dense

IN_FLIGHT = 1000
LIMIT_S = 3.0


class HeldDestination(SlowDestination):
    """Takes every append, and writes none but the first before it is told to go on."""

    max_in_flight = IN_FLIGHT

    def __init__(self, fake: FakeCluster) -> None:
        super().__init__(fake)
        self.go = asyncio.Event()

    async def _later(self, partition: Partition, batch: StampedBatch, state: StateOf | None) -> int:
        if self.written:
            await self.go.wait()
        offset = await self._inner.append(partition, batch, state)
        self.written += 1
        return offset


async def test_of_a_thousand_batches_in_flight_none_is_appended_after_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importing, "SlowDestination", HeldDestination)
    monkeypatch.setattr(hubs, "DEADLINE_S", 30)
    async with importing.importing(IN_FLIGHT + 200) as run:
        held = run.slow
        assert isinstance(held, HeldDestination)
        await until(lambda: held.taken - held.written >= IN_FLIGHT - 1)
        revoking = asyncio.create_task(run.revoke())
        await until(lambda: not run.both.globex.hub.status())
        await asyncio.sleep(0.05)
        is_answered = revoking.done()
        held.go.set()
        await revoking
        assert not is_answered, "it was answered while appends were under way"
        taken, end = held.taken, run.end
        assert held.written == taken < IN_FLIGHT + 200
        run.both.acme.cluster.put_raw(Partition(TOPIC, 0), dense(IN_FLIGHT + 201).batches[-1].data)
        await asyncio.sleep(0.1)
        assert (held.taken, run.end) == (taken, end)


@dataclass
class MovedClock:
    """The wall clock of both gateways, as a test moves it."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> int:
        return self._real() + int(self.ahead.total_seconds() * 1000)

    _real = staticmethod(hubs.now_ms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    moved = MovedClock()
    monkeypatch.setattr(hubs, "now_ms", moved)
    monkeypatch.setattr("gateway.peers.hub.CLOCK_CHECK_S", 0.05)
    return moved


async def ends(waiting: Awaitable[object]) -> bool:
    """Whether it ends by an error of ours, and soon."""
    try:
        async with asyncio.timeout(LIMIT_S):
            await waiting
    except MeshError:
        return True
    except TimeoutError:
        return False
    return False


@pytest.mark.parametrize("acme_dials", [True, False])
async def test_a_stream_dies_with_the_certificate_when_the_clock_jumps_past_its_end(
    acme_dials: bool, clock: MovedClock
) -> None:
    async with two(acme_dials, not acme_dials, deadline_s=20) as both:
        session = await both.globex.hub.wait(both.acme.organization.org)
        lane = session.open_lane(lane_of())
        await lane.next()
        left = both.acme.hub._identity.leaf.not_valid_after_utc - both.acme.hub._now()
        clock.ahead = left - timedelta(minutes=1)
        await asyncio.sleep(0.2)
        assert session.is_open, "it ended before its certificate"
        clock.ahead = left + timedelta(seconds=1)
        assert await ends(lane.next()), "the stream has outlived the certificate that opened it"


async def test_a_stream_carries_nothing_after_the_grant_when_the_clock_jumps_past_its_end(clock: MovedClock) -> None:
    async with two(deadline_s=20) as both:
        acme, globex = both.acme, both.globex.organization.org
        await acme.registry.revoke_grant(FLIGHTS, globex)
        await acme.registry.create_grant(Grant(FLIGHTS, globex, end_ms=clock() + 3_600_000), clock())
        session = await both.globex.hub.wait(acme.organization.org)
        lane = session.open_lane(lane_of())
        await lane.next()
        clock.ahead = timedelta(hours=1, seconds=1)
        acme.cluster.put_raw(Partition(TOPIC, 0), dense(4).batches[-1].data)
        assert await ends(lane.next()), "records were sent after the end of the grant"
        assert session.is_open


async def test_a_lane_at_rest_ends_with_its_grant_however_long_the_source_is_silent() -> None:
    silent = replace(hubs.SETTINGS, export=ExportSettings(wait_s=60))
    async with two(settings=silent, deadline_s=20) as both:
        acme, globex = both.acme, both.globex.organization.org
        await acme.registry.revoke_grant(FLIGHTS, globex)
        await acme.registry.create_grant(Grant(FLIGHTS, globex, end_ms=hubs.now_ms() + 1000), hubs.now_ms())
        session = await both.globex.hub.wait(acme.organization.org)
        lane = session.open_lane(lane_of())
        await lane.next()
        assert await ends(lane.next()), "the lane has outlived its grant"
        assert session.is_open
