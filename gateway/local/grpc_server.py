"""The local API over gRPC, with health and reflection, behind its door.

Health needs no token: it is for probes, and says one word. Everything else does, reflection too.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.local.api import LocalApi
from gateway.local.doors import GrpcDoor
from gateway.local.grpc_reflection import reflection_handlers
from gateway.local.grpc_service import Tokens, handlers
from gateway.rpc.health import HealthService
from mesh.local.names import SERVICE

CLOSE_S = 2.0
"""At the end, for calls under way."""


@dataclass(frozen=True, slots=True)
class LocalGrpc:
    """A listener that answers."""

    door: GrpcDoor
    health: HealthService

    @property
    def address(self) -> str:
        return str(self.door.at)

    async def close(self, grace_s: float = CLOSE_S) -> None:
        """Refuse new calls at once; those open get `grace_s`, then they are cut."""
        self.health.close()
        await self.door.close(grace_s)


async def serve(api: LocalApi, door: GrpcDoor, tokens: Tokens) -> LocalGrpc:
    """Answer whoever comes through the door, which is closed with what this gives."""
    health = HealthService(lambda: api.health.ready, (SERVICE,), api.services.config.local.max_streams)
    generic = (handlers(api, tokens), health.handlers(), reflection_handlers((SERVICE, health.name), tokens))
    door.server.add_generic_rpc_handlers(generic)
    await door.server.start()
    return LocalGrpc(door, health)
