"""The local API over gRPC, with health and reflection: on a loopback port or a Unix socket.

A. Health needs no token: it is for probes, and says one word. Everything else does, reflection too.
B. What a message, a connection and all connections together may take of the gateway is bounded.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from gateway.address import Address
from gateway.http.errors import AddressRefused, PortInUse
from gateway.local.api import LocalApi
from gateway.local.grpc_health import HealthService
from gateway.local.grpc_reflection import reflection_handlers
from gateway.local.grpc_service import SERVICE, Tokens, handlers
from gateway.local_address import LocalAddress
from gateway.unix_socket import SocketPath, give_back, make_room, private

log = structlog.get_logger()

WHAT = "local gRPC"
MAX_METADATA_BYTES = 8 * 1024
CALLS_PER_STREAM = 4
"""Other calls at once, for each stream that there may be."""
OVERHEAD_BYTES = 64 * 1024
"""Of a request beside its records."""


@dataclass(frozen=True, slots=True)
class LocalGrpc:
    """A listener that answers."""

    server: grpc.aio.Server
    at: LocalAddress
    health: HealthService

    @property
    def address(self) -> str:
        return str(self.at)

    async def close(self, grace_s: float) -> None:
        """Refuse new calls at once; those open get `grace_s`, then they are cut."""
        self.health.close()
        await self.server.stop(grace_s)
        if isinstance(self.at, SocketPath):
            give_back(self.at)


async def serve(api: LocalApi, place: LocalAddress, tokens: Tokens) -> LocalGrpc:
    """Bind and serve. Raises PortInUse, AddressRefused, SocketPathTooLong."""
    local = api.services.config.local
    calls = local.max_streams * (CALLS_PER_STREAM + 1)
    server = grpc.aio.server(options=_options(local.max_request_bytes), maximum_concurrent_rpcs=calls)
    health = HealthService(lambda: api.health.ready, SERVICE, local.max_streams)
    generic = (handlers(api, tokens), health.handlers(), reflection_handlers((SERVICE, health.name), tokens))
    server.add_generic_rpc_handlers(generic)
    try:
        at = _bound(server, place)
    except BaseException:
        await server.stop(None)
        raise
    await server.start()
    return LocalGrpc(server, at, health)


def _options(max_request_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_request_bytes + OVERHEAD_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
        # an application that died without a word is noticed, and its cursor is free for its next start
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _bound(server: grpc.aio.Server, place: LocalAddress) -> LocalAddress:
    if isinstance(place, SocketPath):
        make_room(place, WHAT)
        with private():
            _add(server, str(place), str(place))
        return place
    if place.port and _in_use(place):
        raise PortInUse(str(place), WHAT)
    return Address(place.host, _add(server, str(place), str(place)))


def _add(server: grpc.aio.Server, target: str, shown: str) -> int:
    try:
        return server.add_insecure_port(target)
    except RuntimeError as error:
        raise AddressRefused(shown, WHAT, str(error)[:200]) from error


def _in_use(place: Address) -> bool:
    """gRPC does not say why it could not bind; binding once more does."""
    family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
