"""The channel to the gateway: calls with the token, failures as MeshErrors, tried again while the gateway is away.

A. gRPC's errors are seen nowhere else (`failure_of`).
B. A call is tried again by itself only where that changes nothing: it asks, or states what is so.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from mesh.backoff import Backoff
from mesh.errors import MeshError
from mesh.local.names import ERROR_METADATA, SERVICE, TOKEN_METADATA
from mesh.local.v1 import local_pb2
from mesh.sdk.errors import Answer, ClientClosed, GatewayUnreachable, TokenRefused, error_of
from mesh.sdk.place import Place

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
# One record may be as large as its topic allows, which is for the topic to say.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # the gateway is on this machine: it is back within a second or two, and no proxy stands between
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_AWAY = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Of an answer without an Error message: what gRPC itself says when a process or a connection goes away."""

Reply = TypeVar("Reply", bound=Message)


class Connection:
    """Open from its making on; `patience_s` is for how long calls are tried again from their first failure on."""

    def __init__(self, place: Place, patience_s: float) -> None:
        self.address = place.address
        self.patience_s = patience_s
        self.is_closed = False
        self._token = place.token
        self._channel = grpc.aio.insecure_channel(place.address, options=_OPTIONS)
        self._methods: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Connection {self.address}{' closed' if self.is_closed else ''}>"

    async def ask(
        self, name: str, request: Message, reply: type[Reply], timeout_s: float, *, again: bool = True
    ) -> Reply:
        """The answer to a unary call; `again`: it may be tried again. Raises MeshError."""
        patience = Patience(self.patience_s if again else 0.0)
        while True:
            try:
                return await self._ask(name, request, reply, timeout_s)
            except MeshError as error:
                if not isinstance(error, GatewayUnreachable):
                    raise
                await patience.pause(error)

    async def _ask(self, name: str, request: Message, reply: type[Reply], timeout_s: float) -> Reply:
        metadata = self.metadata()
        method = self._method(name, self._channel.unary_unary, reply)
        try:
            answer: Reply = await method(request, metadata=metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, self.address) from error
        except asyncio.CancelledError:
            if was_cancelled():
                raise
            raise ClientClosed from None
        return answer

    def read(self, name: str, request: Message, reply: type[Reply]) -> grpc.aio.UnaryStreamCall[Any, Reply]:
        """A stream of answers. Raises ClientClosed and what the token raises."""
        metadata = self.metadata()
        call: grpc.aio.UnaryStreamCall[Any, Reply] = self._method(name, self._channel.unary_stream, reply)(
            request, metadata=metadata
        )
        return call

    def converse(self, name: str, reply: type[Reply]) -> grpc.aio.StreamStreamCall[Any, Reply]:
        """A stream each way. Raises ClientClosed and what the token raises."""
        metadata = self.metadata()
        call: grpc.aio.StreamStreamCall[Any, Reply] = self._method(name, self._channel.stream_stream, reply)(
            metadata=metadata
        )
        return call

    def metadata(self) -> tuple[tuple[str, str], ...]:
        if self.is_closed:
            raise ClientClosed
        token = self._token()
        return ((TOKEN_METADATA, token),) if token else ()

    async def close(self) -> None:
        """Calls that are still open end as cancelled."""
        if not self.is_closed:
            self.is_closed = True
            await self._channel.close()

    def _method(self, name: str, kind: Any, reply: type[Message]) -> Any:
        if name not in self._methods:
            self._methods[name] = kind(
                f"/{SERVICE}/{name}",
                request_serializer=_to_bytes,
                response_deserializer=reply.FromString,
            )
        return self._methods[name]


class Patience:
    """Pauses between attempts, until it is over; an attempt that succeeded restores it."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, random.Random())
        self._until: float | None = None

    async def pause(self, error: MeshError) -> None:
        """Raises `error` where it has been tried for long enough."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._patience_s
        if now >= self._until:
            raise error
        await asyncio.sleep(min(self._backoff.next_s(), self._until - now))

    def restore(self) -> None:
        self._until = None
        self._backoff.reset()


def failure_of(error: grpc.aio.AioRpcError, address: str) -> MeshError:
    """What the gateway said; GatewayUnreachable where it was gRPC that said it."""
    details = error.details() or error.code().name
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_METADATA and isinstance(value, bytes):
            return error_of(answer_of(local_pb2.Error.FromString(value)))
    if error.code() in _AWAY:
        return GatewayUnreachable(address, details)
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return TokenRefused(Answer(TokenRefused.answers, details, "", "caller"))
    code = error.code().name.lower().replace("_", "-")
    return error_of(Answer(code, details, "the gateway and the SDK may be of different versions"))


def was_cancelled() -> bool:
    """Whether it is the running task that is cancelled: gRPC raises the same in it where only its call was."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def ending_of(call: grpc.aio.StreamStreamCall[Any, Any], address: str) -> MeshError:
    """Why a call has ended that was written to, or read from, too late."""
    code, details = await call.code(), await call.details()
    if code is grpc.StatusCode.OK:
        return GatewayUnreachable(address, "it ended the stream")
    metadata = await call.trailing_metadata()
    return failure_of(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details), address)


def answer_of(message: local_pb2.Error) -> Answer:
    return Answer(message.code, message.sentence, message.remedy, message.actor, message.retriable)


def _to_bytes(message: Message) -> bytes:
    return message.SerializeToString()
