"""gRPC's own health protocol: SERVING where /readyz is 200, for the gateway as a whole and for each of its services.

It says one word, so nobody needs a token for it; a listener may still admit its own callers only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
NAME = "grpc.health.v1.Health"
LOOK_S = 1.0
"""Between two looks for who watches."""


class HealthService:
    """`is_ready` is asked for every answer; it is known by the names of the `services`, and by the empty one.

    `admit` ends the call of who may not ask.
    """

    name = NAME

    def __init__(
        self,
        is_ready: Callable[[], bool],
        services: Iterable[str],
        max_watchers: int,
        admit: Callable[[Context], Awaitable[object]] | None = None,
    ) -> None:
        self._is_ready, self._names, self._max_watchers = is_ready, {"", *services}, max_watchers
        self._admit = admit or _anybody
        self._watchers = 0
        self._closed = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        check = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(NAME, {"Check": check, "Watch": watch})

    def close(self) -> None:
        """Say NOT_SERVING to who watches, and end their streams."""
        self._closed.set()

    def _state(self, service: str) -> health_pb2.HealthCheckResponse:
        known = health_pb2.HealthCheckResponse
        if service not in self._names:
            return known(status=known.SERVICE_UNKNOWN)
        ready = self._is_ready() and not self._closed.is_set()
        return known(status=known.SERVING if ready else known.NOT_SERVING)

    async def _check(self, asked: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        await self._admit(context)
        if asked.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return self._state(asked.service)

    async def _watch(
        self, asked: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        await self._admit(context)
        if self._watchers >= self._max_watchers:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch")
        self._watchers += 1
        try:
            told = self._state(asked.service)
            yield told
            while not self._closed.is_set():
                await self._moment()
                if (now := self._state(asked.service)) != told:
                    told = now
                    yield told
        finally:
            self._watchers -= 1

    async def _moment(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._closed.wait()
        except TimeoutError:
            pass


async def _anybody(context: Context) -> None:
    pass
