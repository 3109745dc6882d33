"""The local API of a running gateway: one LocalApi, and what speaks it behind the doors that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.health import Health
from gateway.http.serving import Listening
from gateway.local import grpc_server, http_server
from gateway.local.api import LocalApi
from gateway.local.doors import LocalDoors
from gateway.local.grpc_server import LocalGrpc
from gateway.meters import ApplicationMeter
from gateway.services import Services


@dataclass(frozen=True, slots=True)
class LocalListeners:
    api: LocalApi
    http: Listening | None
    grpc: LocalGrpc | None

    async def close(self) -> None:
        """Readers are told to go; what was published becomes durable, or its fate stays the log's to tell."""
        self.api.end_readings()
        if self.grpc is not None:
            await self.grpc.close()
        if self.http is not None:
            await self.http.close()
        await self.api.close()


async def open_local(
    doors: LocalDoors, services: Services, health: Health, stop: Callable[[], None], meter: ApplicationMeter
) -> LocalListeners:
    """Answer whoever comes through the doors."""
    api = LocalApi(services, health, stop, meter)
    tokens = doors.tokens
    http = None
    if doors.http is not None:
        http = await http_server.start(http_server.create_app(api, tokens), doors.http)
    grpc = await grpc_server.serve(api, doors.grpc, tokens) if doors.grpc is not None else None
    return LocalListeners(api, http, grpc)
