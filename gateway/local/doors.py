"""The places of the local API, taken before anything runs: a gateway that may not have them refuses to start at once.

Whoever connects meanwhile waits until he is served. Light to import: what speaks behind the doors is not.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from gateway.address import Address
from gateway.admin.token import TokenFile
from gateway.config_file import Local
from gateway.http.door import Door, open_door, open_path
from gateway.http.errors import AddressRefused, PortInUse
from gateway.local_address import LocalAddress
from gateway.unix_socket import SocketPath, give_back, make_room, private
from mesh.local.names import TOKEN_NAME

HTTP, GRPC = "local HTTP", "local gRPC"
MAX_METADATA_BYTES = 8 * 1024
CALLS_PER_STREAM = 4
"""Other calls at once, for each stream that there may be."""
OVERHEAD_BYTES = 64 * 1024
"""Of a request beside its records."""


@dataclass(frozen=True, slots=True)
class GrpcDoor:
    """A server that is bound, and has neither handlers nor begun."""

    server: grpc.aio.Server
    at: LocalAddress

    @property
    def address(self) -> str:
        return str(self.at)

    async def close(self, grace_s: float | None = None) -> None:
        """Refuse new calls at once; those open get `grace_s`, then they are cut. May be called again."""
        await self.server.stop(grace_s)
        if isinstance(self.at, SocketPath):
            give_back(self.at)


@dataclass(frozen=True, slots=True)
class LocalDoors:
    """Those that are configured, and the tokens by which callers are let in."""

    tokens: TokenFile
    http: Door | None = None
    grpc: GrpcDoor | None = None

    async def close(self) -> None:
        if self.http is not None:
            self.http.close()
        if self.grpc is not None:
            await self.grpc.close()


async def local_doors(
    http: LocalAddress | None, grpc: LocalAddress | None, local: Local, state_dir: Path
) -> LocalDoors | None:
    """None where none is configured.

    Raises PortInUse, AddressRefused, SocketPathTooLong, TokenFileUnsafe; then none is open.
    """
    if http is None and grpc is None:
        return None
    tokens = TokenFile(state_dir / TOKEN_NAME)
    door = http_door(http) if http is not None else None
    try:
        return LocalDoors(tokens, door, await grpc_door(grpc, local) if grpc is not None else None)
    except BaseException:
        if door is not None:
            door.close()
        raise


def http_door(place: LocalAddress) -> Door:
    """Raises PortInUse, AddressRefused, SocketPathTooLong."""
    return open_path(place, HTTP) if isinstance(place, SocketPath) else open_door(place.host, place.port, HTTP)


async def grpc_door(place: LocalAddress, local: Local) -> GrpcDoor:
    """Raises PortInUse, AddressRefused, SocketPathTooLong."""
    calls = local.max_streams * (CALLS_PER_STREAM + 1)
    server = grpc.aio.server(options=_options(local.max_request_bytes), maximum_concurrent_rpcs=calls)
    try:
        return GrpcDoor(server, _bound(server, place))
    except BaseException:
        await server.stop(None)
        raise


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
        make_room(place, GRPC)
        with private():
            _add(server, place)
        return place
    if place.port and _in_use(place):
        raise PortInUse(str(place), GRPC)
    return Address(place.host, _add(server, place))


def _add(server: grpc.aio.Server, place: LocalAddress) -> int:
    try:
        return server.add_insecure_port(str(place))
    except RuntimeError as error:
        raise AddressRefused(str(place), GRPC, str(error)[:200]) from error


def _in_use(place: Address) -> bool:
    """gRPC does not say why it could not bind; binding before does."""
    family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
