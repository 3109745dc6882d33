"""Two hubs over loopback gRPC with real certificates: who dials, what is shown, and how a link is cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

import pytest

from gateway.exporter import ExportSettings
from gateway.link.session import SessionLimits
from gateway.peer import Peer
from gateway.peers.errors import PeerRefusedRequest, PeerUnreachable
from gateway.peers.hub import Hub, HubSettings
from gateway.registry import Registry
from gateway.rpc.credentials import TransportLimits
from gateway.rpc.listener import Listener, listen
from mesh.errors import MeshError
from mesh.ids import Partition, ShareName, TopicName
from mesh.link.errors import LaneEnded
from mesh.link.frames import LaneOpen
from mesh.shares import Grant, PeerState, StartAt
from mesh.testing.cluster import FakeCluster
from tests.support.mirror import dense
from tests.support.trust import Organization, organization

SETTINGS = HubSettings(
    session=SessionLimits(),
    export=ExportSettings(wait_s=0.2),
    transport=TransportLimits(),
    max_frame_bytes=4 << 20,
    heartbeat_s=1.0,
    reconnect_initial_s=0.02,
    reconnect_max_s=0.1,
)
FLIGHTS, TOPIC = ShareName("flights"), TopicName("departures")
DEADLINE_S = 6


def now_ms() -> int:
    return time.time_ns() // 1_000_000  # certificates are judged by it


@dataclass
class Gateway:
    """A hub with its registry and cluster, without the rest of a daemon."""

    organization: Organization
    cluster: FakeCluster
    registry: Registry
    hub: Hub
    task: asyncio.Task[None] | None = None
    listener: Listener | None = None

    async def listen(self, port: int = 0) -> str:
        self.listener = await listen(self.hub, self.hub.trust, self.hub.transport, "127.0.0.1", port)
        return self.listener.address

    async def know(self, other: Gateway, address: str = "") -> None:
        addresses = (address,) if address else ()
        await self.registry.add_peer(Peer(other.organization.bundle, addresses))

    async def share(self, other: Gateway) -> None:
        await self.registry.create_share(FLIGHTS, [TOPIC], now_ms())
        await self.registry.create_grant(Grant(FLIGHTS, other.organization.org), now_ms())

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        if self.listener is not None:
            await self.listener.close(0)


async def made(name: str) -> Gateway:
    today = organization(name, datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    cluster = FakeCluster(cluster_id=name)
    await cluster.ports.topics.create(TOPIC, 1, {})
    await cluster.ports.topics.create("secret", 1, {})
    for batch in dense(3).batches:
        cluster.put_raw(Partition(TOPIC, 0), batch.data)
    registry = await Registry.open(cluster.ports.control, cluster.ports.lanes)
    hub = Hub(today.identity(), cluster.ports, registry, SETTINGS, now_ms=now_ms, random=Random(1))
    return Gateway(today, cluster, registry, hub)


@dataclass
class Both:
    acme: Gateway
    globex: Gateway


@asynccontextmanager
async def two(acme_dials: bool = False, globex_dials: bool = True) -> AsyncIterator[Both]:
    """ACME shares with GLOBEX; either may dial."""
    acme, globex = await made("acme.example"), await made("globex.example")
    try:
        addresses = {gateway: await each.listen() for gateway, each in (("acme", acme), ("globex", globex))}
        await acme.know(globex, addresses["globex"] if acme_dials else "")
        await globex.know(acme, addresses["acme"] if globex_dials else "")
        await acme.share(globex)
        async with asyncio.TaskGroup() as group, asyncio.timeout(DEADLINE_S):
            for gateway in (acme, globex):
                gateway.task = group.create_task(gateway.hub.run())
            try:
                yield Both(acme, globex)
            finally:
                for gateway in (acme, globex):
                    await gateway.close()
    finally:
        for gateway in (acme, globex):
            await gateway.close()


def lane_of(share: str = "flights", topic: str = TOPIC) -> Callable[[int], LaneOpen]:
    return lambda number: LaneOpen(number, share, topic, 0, StartAt(), credit_bytes=1 << 20)


@pytest.mark.parametrize(("acme_dials", "globex_dials"), [(True, False), (False, True), (True, True)])
async def test_whoever_dials_lanes_go_both_ways(acme_dials: bool, globex_dials: bool) -> None:
    async with two(acme_dials, globex_dials) as both:
        session = await both.globex.hub.wait(both.acme.organization.org)
        lane = session.open_lane(lane_of())
        await lane.opened()
        assert (await lane.next()).record_count == 9
        roles = {status.role for status in both.globex.hub.status()}
        assert roles <= {"dialler", "acceptor"}
        assert ("dialler" in roles) or not globex_dials
        await both.acme.hub.wait(both.globex.organization.org)
        assert both.acme.hub.exports()[0]["peer"] == "globex.example"


async def test_the_catalog_shows_what_is_granted_and_nothing_else() -> None:
    async with two() as both:
        acme = both.acme.organization.org
        await both.acme.registry.create_share(ShareName("hidden"), [TopicName("secret")], now_ms())
        await both.globex.hub.wait(acme)
        catalog = await both.globex.hub.catalog(acme)
        assert [share.name for share in catalog.shares] == ["flights"]
        assert [topic.name for topic in catalog.shares[0].topics] == [TOPIC]


async def refused(both: Both, opening: Callable[[int], LaneOpen]) -> tuple[str, str]:
    session = await both.globex.hub.wait(both.acme.organization.org)
    with pytest.raises(LaneEnded) as caught:
        await session.open_lane(opening).opened()
    return caught.value.ended_code, caught.value.detail


async def test_what_is_not_granted_looks_like_what_does_not_exist() -> None:
    async with two() as both:
        await both.acme.registry.create_share(ShareName("hidden"), [TopicName("secret")], now_ms())
        hidden = await refused(both, lane_of("hidden", "secret"))
        absent = await refused(both, lane_of("absent", "secret"))
        assert hidden[0] == absent[0] == "not-available"
        assert hidden[1].replace("hidden", "absent") == absent[1]
        assert (await refused(both, lane_of("flights", "secret")))[0] == "not-available"
        acme = both.acme.organization.org
        answers = []
        for share in ("hidden", "absent"):
            with pytest.raises(PeerRefusedRequest) as caught:
                await both.globex.hub.digests(acme, ShareName(share), TopicName("secret"), 0, 0, 9, 9)
            answers.append((caught.value.refusal, caught.value.detail.replace("hidden", "absent")))
        assert answers[0] == answers[1]


async def test_an_illegal_name_ends_its_lane_and_nothing_else() -> None:
    async with two() as both:
        assert (await refused(both, lane_of("NOT A NAME")))[0] == "illegal-name"
        session = await both.globex.hub.wait(both.acme.organization.org)
        session.open_lane(lane_of("NOT A NAME"))
        await both.acme.registry.create_share(ShareName("another"), [TopicName("secret")], now_ms())
        lane = session.open_lane(lane_of())
        await lane.opened()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - gRPC tells nobody when a connection is gone
        await asyncio.sleep(0.01)


async def test_a_suspended_peer_is_cut_within_a_second_and_comes_back_when_it_is_resumed() -> None:
    async with two() as both:
        globex, acme = both.globex.organization.org, both.acme.organization.org
        session = await both.globex.hub.wait(acme)
        lane = session.open_lane(lane_of())
        await lane.next()
        async with asyncio.timeout(1):
            await both.acme.registry.set_peer_state(globex, PeerState.SUSPENDED)
            with pytest.raises(MeshError):
                await lane.next()
        await until(lambda: not both.acme.hub.status())
        with pytest.raises(PeerUnreachable):
            await both.globex.hub.catalog(acme)
        await both.acme.registry.set_peer_state(globex, PeerState.ACTIVE)
        again = await both.globex.hub.wait(acme)
        await again.open_lane(lane_of()).opened()


async def test_a_revoked_grant_ends_the_lane_at_once() -> None:
    async with two() as both:
        session = await both.globex.hub.wait(both.acme.organization.org)
        lane = session.open_lane(lane_of())
        await lane.next()
        await both.acme.registry.revoke_grant("flights", both.globex.organization.org)
        with pytest.raises(LaneEnded) as caught:
            await lane.next()
        assert caught.value.ended_code == "not-available"
        assert session.is_open


async def test_a_dialler_finds_a_peer_again_that_was_away() -> None:
    async with two() as both:
        acme = both.acme.organization.org
        session = await both.globex.hub.wait(acme)
        assert both.acme.listener is not None
        port = both.acme.listener.port
        await both.acme.listener.close(0)
        await until(lambda: not session.is_open)
        with pytest.raises(PeerUnreachable):
            await both.globex.hub.catalog(acme)
        await both.acme.listen(port)
        await both.globex.hub.wait(acme)
        await both.globex.hub.catalog(acme)


@pytest.mark.parametrize("leaver", ["acme", "globex"])
async def test_a_hub_that_drains_leaves_no_link_and_makes_none(leaver: str) -> None:
    async with two() as both:
        await both.globex.hub.wait(both.acme.organization.org)
        await both.acme.hub.wait(both.globex.organization.org)
        leaving = both.acme if leaver == "acme" else both.globex
        async with asyncio.timeout(5):
            await leaving.hub.drain()
        assert leaving.hub.status() == []
