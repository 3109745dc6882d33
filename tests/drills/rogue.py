"""A server that stands where another's should: it shakes hands by the right name, and notes who speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from tests.support.trust import Organization


@dataclass
class Rogue:
    address: str = ""
    called: int = 0


@asynccontextmanager
async def rogue(organization: Organization) -> AsyncIterator[Rogue]:
    """By a leaf of `organization`, made for this."""
    found, identity = Rogue(), organization.identity()

    async def note(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        found.called += 1
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not accepted")

    class Routes(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            return grpc.stream_stream_rpc_method_handler(note)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Routes(),))
    credentials = grpc.ssl_server_credentials([(identity.private_key_pem, identity.chain_pem)])
    found.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    await server.start()
    try:
        yield found
    finally:
        await server.stop(None)
