"""The listener for peers: mutually authenticated gRPC, where every call is verified before anything else runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote

import grpc
import structlog

from gateway.http.errors import AddressRefused, PortInUse
from gateway.rpc.credentials import ServerTrust, TransportLimits, server_credentials, server_options
from gateway.rpc.errors import TooManyCalls
from gateway.rpc.health import HealthService
from gateway.rpc.streams import AcceptedStream
from mesh.errors import MeshError
from mesh.trust.leaf import VerifiedLeaf
from mesh.wire.v1 import catalog_pb2

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]
SERVICES = ("mesh.wire.v1.Link", "mesh.wire.v1.Catalog")
MAX_WATCHERS = 64
"""Of health, over all peers."""


class PeerService(Protocol):
    """What answers verified calls."""

    def verify(self, context: Context) -> VerifiedLeaf:
        """Who calls. Raises LeafRefused, TooManyCalls."""

    async def accept(self, leaf: VerifiedLeaf, stream: AcceptedStream, address: str) -> None:
        """Run a link until it ends. Raises MeshError."""

    async def list_catalog(self, leaf: VerifiedLeaf) -> catalog_pb2.CatalogReply: ...


class Listener:
    """A bound listener; `port` is the one in use."""

    def __init__(self, server: grpc.aio.Server, host: str, port: int) -> None:
        self._server = server
        self.host = host
        self.port = port

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def close(self, grace_s: float) -> None:
        """Refuse new calls at once; those open get `grace_s`, then they are cut."""
        await self._server.stop(grace_s)


async def listen(
    service: PeerService,
    trust: ServerTrust,
    limits: TransportLimits,
    host: str,
    port: int,
    is_ready: Callable[[], bool] = lambda: True,
) -> Listener:
    """Bind and serve; verified callers may ask for health, too. Raises PortInUse, AddressRefused."""
    server = grpc.aio.server(options=server_options(limits))
    health = HealthService(is_ready, SERVICES, MAX_WATCHERS, lambda context: _who(service, context))
    server.add_generic_rpc_handlers((_handlers(service), health.handlers()))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_secure_port(address, server_credentials(trust))
    except RuntimeError as error:
        await server.stop(None)
        if "address already in use" in str(error).lower() or in_use(host, port):
            raise PortInUse(address, "peers") from error
        raise AddressRefused(address, "peers", str(error)[:200]) from error
    await server.start()
    return Listener(server, host, bound)


def in_use(host: str, port: int) -> bool:
    """Whether somebody has the port: gRPC does not say why it could not bind; binding once more does."""
    import errno
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _handlers(service: PeerService) -> grpc.GenericRpcHandler:
    return _Routes(
        {
            "/mesh.wire.v1.Link/Open": grpc.stream_stream_rpc_method_handler(_verified(service, _open)),
            "/mesh.wire.v1.Catalog/List": grpc.unary_unary_rpc_method_handler(
                _verified_unary(service),
                request_deserializer=catalog_pb2.CatalogRequest.FromString,
                response_serializer=catalog_pb2.CatalogReply.SerializeToString,
            ),
        }
    )


class _Routes(grpc.GenericRpcHandler):
    def __init__(self, handlers: dict[str, Any]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)


async def _open(service: PeerService, leaf: VerifiedLeaf, context: Context) -> None:
    await service.accept(leaf, AcceptedStream(context), _address(context))


def _verified(
    service: PeerService, serve: Callable[[PeerService, VerifiedLeaf, Context], Awaitable[None]]
) -> Callable[[Any, Context], Awaitable[None]]:
    async def handle(_: Any, context: Context) -> None:
        leaf = await _who(service, context)
        try:
            await serve(service, leaf, context)
        except MeshError as error:
            log.warning("link ended", peer=str(leaf.id.org), code=error.code, reason=str(error))
            await context.abort(grpc.StatusCode.ABORTED, error.code)

    return handle


def _verified_unary(service: PeerService) -> Callable[[Any, Context], Awaitable[catalog_pb2.CatalogReply]]:
    async def handle(_: Any, context: Context) -> catalog_pb2.CatalogReply:
        leaf = await _who(service, context)
        try:
            return await service.list_catalog(leaf)
        except MeshError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.code)
            raise

    return handle


async def _who(service: PeerService, context: Context) -> VerifiedLeaf:
    """The verified caller; a stranger gets one constant answer, the reason stays in our log."""
    try:
        return service.verify(context)
    except TooManyCalls as error:  # without a line for each: the flood would be in the log, too
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.code)
        raise
    except MeshError as error:
        log.warning("call refused", address=_address(context), code=error.code, **_plain(error))
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "not a peer of this organization")
        raise


def _address(context: Context) -> str:
    """host:port, as everywhere: gRPC says `ipv4:10.0.0.1:4711` or `ipv6:%5B::1%5D:4711`."""
    return unquote(context.peer()).removeprefix("ipv4:").removeprefix("ipv6:")


def _plain(error: MeshError) -> dict[str, str]:
    return {name: str(value) for name, value in error.data.items()}
