"""What the SDK is used with: a gateway over the embedded log, one over Kafka, and the server for users' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from gateway.address import Address
from gateway.admin.token import TokenFile
from gateway.local.api import LocalApi
from gateway.local.doors import grpc_door
from gateway.local.grpc_server import LocalGrpc, serve
from mesh.ids import OrgId
from mesh.ports import Cluster
from mesh.sdk import Client
from mesh.testing import LocalGateway
from mesh.wire.v1 import catalog_pb2
from tests.support.admin import admin_gateway
from tests.support.control import peer_of

GLOBEX = OrgId("globex.example")
KEEP = {"retention.ms": "-1"}


@dataclass
class Site:
    """Where the SDK finds a gateway, and what happens to that."""

    address: str
    token: str
    make_topic: Callable[[int], Awaitable[str]]
    restart: Callable[[], Awaitable[None]]
    """All connections break, what is durable stays; it is there again on the same port when this returns."""

    def client(self, **options: Any) -> Client:
        return Client(self.address, **{"token": self.token, **options})


Open: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def _memory(directory: Path) -> AsyncIterator[Site]:
    async with LocalGateway() as gateway:
        gateway.share(GLOBEX, "sales", {"invoices": 1})

        async def make(partitions: int) -> str:
            name = f"t-{uuid4().hex[:8]}"
            gateway.create_topic(name, partitions)
            return name

        async def restart() -> None:
            gateway.restart()

        yield Site(gateway.address, gateway.token, make, restart)


@asynccontextmanager
async def _embedded(directory: Path, cluster: Cluster | None = None) -> AsyncIterator[Site]:
    async with admin_gateway(directory) as admin:
        await admin.services.registry.add_peer(peer_of(GLOBEX))
        topic = catalog_pb2.CatalogTopic(name="invoices", partitions=1, topic_id="0" * 31 + "7")
        share = catalog_pb2.CatalogShare(name="sales", version=1, topics=[topic])
        admin.links.catalogs[GLOBEX] = catalog_pb2.CatalogReply(shares=[share])
        services = replace(admin.services, cluster=cluster or admin.services.cluster)
        tokens = TokenFile(directory / "state" / "local.token")
        serving: list[tuple[LocalApi, LocalGrpc]] = []

        async def start(place: Address) -> Address:
            api = LocalApi(services, admin.health, lambda: None)
            door = await grpc_door(place, services.config.local)
            serving.append((api, await serve(api, door, tokens)))
            assert isinstance(door.at, Address)
            return door.at

        async def stop() -> None:
            api, listening = serving.pop()
            await listening.close(0)
            await api.close()

        async def restart() -> None:
            await stop()
            await start(place)

        async def make(partitions: int) -> str:
            return (await services.cluster.topics.create(f"t-{uuid4().hex[:8]}", partitions, KEEP)).name

        place = await start(Address("127.0.0.1", 0))
        try:
            yield Site(str(place), tokens()[0], make, restart)
        finally:
            await stop()


@asynccontextmanager
async def _kafka(directory: Path) -> AsyncIterator[Site]:
    from tests.support.brokers import open_cluster

    async with open_cluster() as cluster, _embedded(directory, cluster) as site:
        yield site


_OPEN: dict[str, Open] = {"memory": _memory, "embedded": _embedded, "kafka": _kafka}


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with _OPEN[request.param](tmp_path) as site:
        yield site


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with site.client() as client:
        yield client


@pytest.fixture
async def topic(site: Site) -> str:
    """Of two partitions."""
    return await site.make_topic(2)
