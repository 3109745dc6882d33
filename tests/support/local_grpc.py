"""A real local gRPC API on a free loopback port or a Unix socket, over a cluster, without peers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc.aio

from gateway.address import Address
from gateway.admin.token import TokenFile
from gateway.local.api import LocalApi
from gateway.local.doors import grpc_door
from gateway.local.grpc_server import LocalGrpc, serve
from gateway.local_address import LocalAddress
from mesh.ports import Cluster
from tests.support.admin import AdminGateway, admin_gateway
from tests.support.local_calls import LocalCalls

CHANNEL = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclass
class RunningGrpc:
    """What a test needs of it."""

    admin: AdminGateway
    api: LocalApi
    listening: LocalGrpc
    calls: LocalCalls
    cluster: Cluster
    tokens: TokenFile


@asynccontextmanager
async def local_grpc(
    directory: Path,
    place: LocalAddress | None = None,
    cluster: Cluster | None = None,
    changed: Callable[[AdminGateway], None] = lambda admin: None,
    **settings: float,
) -> AsyncIterator[RunningGrpc]:
    """`settings` are those of the table `local`."""
    async with admin_gateway(directory) as admin:
        changed(admin)
        known = admin.services.config
        config = replace(known, local=known.local.model_copy(update=settings))
        services = replace(admin.services, config=config, cluster=cluster or admin.services.cluster)
        async with running(admin, LocalApi(services, admin.health, lambda: None), place, directory) as found:
            yield found


@asynccontextmanager
async def running(
    admin: AdminGateway, api: LocalApi, place: LocalAddress | None, directory: Path
) -> AsyncIterator[RunningGrpc]:
    tokens = TokenFile(directory / "state" / "local.token")
    door = await grpc_door(place or Address("127.0.0.1", 0), api.services.config.local)
    listening = await serve(api, door, tokens)
    try:
        async with grpc.aio.insecure_channel(listening.address, options=CHANNEL) as channel:
            calls = LocalCalls(channel, tokens()[0])
            yield RunningGrpc(admin, api, listening, calls, api.services.cluster, tokens)
    finally:
        await listening.close(0)
        await api.close()
