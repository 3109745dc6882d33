"""Two hubs over loopback gRPC, with real certificates, registries in fake clusters, and no daemon around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from certs.profiles import Lifetimes
from gateway.exporter import ExportSettings
from gateway.link.ports import SessionLimits
from gateway.peer import Peer
from gateway.peers.hub import Hub, HubSettings
from gateway.registry import Registry
from gateway.rpc.credentials import TransportLimits
from gateway.rpc.listener import Listener, listen
from mesh.ids import GatewayId, Partition, ShareName, TopicName
from mesh.link.frames import LaneOpen
from mesh.ports import Cluster
from mesh.shares import Grant, StartAt
from mesh.testing.cluster import FakeCluster
from tests.support.mirror import dense
from tests.support.trust import GATEWAY, Organization, identity_of, organization

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
DEADLINE_S = 15


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


async def made(
    name: str,
    leaf_s: float | None = None,
    settings: HubSettings = SETTINGS,
    ports: Callable[[Cluster], Cluster] = lambda fake: fake,
) -> Gateway:
    """`leaf_s`: how long its certificate still lasts, None as they usually do; `ports`: what the hub reads."""
    today = organization(name, datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    identity = today.identity()
    if leaf_s is not None:
        brief = replace(today.authority, lifetimes=Lifetimes(leaf=timedelta(seconds=leaf_s)))
        identity = identity_of(brief.issue(GATEWAY, datetime.now(UTC)), GatewayId(today.org, GATEWAY))
    cluster = FakeCluster(cluster_id=name)
    await cluster.ports.topics.create(TOPIC, 1, {})
    await cluster.ports.topics.create("secret", 1, {})
    for batch in dense(3).batches:
        cluster.put_raw(Partition(TOPIC, 0), batch.data)
    registry = await Registry.open(cluster.ports.control, cluster.ports.lanes)
    hub = Hub(identity, ports(cluster.ports), registry, settings, now_ms=now_ms, random=Random(1))
    return Gateway(today, cluster, registry, hub)


@dataclass
class Both:
    acme: Gateway
    globex: Gateway


@asynccontextmanager
async def two(
    acme_dials: bool = False,
    globex_dials: bool = True,
    globex_leaf_s: float | None = None,
    settings: HubSettings = SETTINGS,
    acme_ports: Callable[[Cluster], Cluster] = lambda fake: fake,
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[Both]:
    """ACME shares with GLOBEX; either may dial."""
    acme = await made("acme.example", settings=settings, ports=acme_ports)
    globex = await made("globex.example", globex_leaf_s, settings)
    try:
        addresses = {gateway: await each.listen() for gateway, each in (("acme", acme), ("globex", globex))}
        await acme.know(globex, addresses["globex"] if acme_dials else "")
        await globex.know(acme, addresses["acme"] if globex_dials else "")
        await acme.share(globex)
        async with asyncio.TaskGroup() as group, asyncio.timeout(deadline_s):
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


def lane_of(share: str = "flights", topic: str = TOPIC, origin: str = "") -> Callable[[int], LaneOpen]:
    return lambda number: LaneOpen(number, share, topic, 0, StartAt(), credit_bytes=1 << 20, origin=origin)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - gRPC tells nobody when a connection is gone
        await asyncio.sleep(0.01)
