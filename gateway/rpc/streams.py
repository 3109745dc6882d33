"""gRPC streams as `FrameStream`s: bytes in, bytes out, and gRPC's exceptions mapped in this one place."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from mesh.link.errors import LinkLost

OPEN_METHOD = "/mesh.wire.v1.Link/Open"
# What grpc.aio raises on a call that has ended meanwhile, depending on the side and the moment.
ENDED = (grpc.aio.BaseError, asyncio.InvalidStateError)
CATALOG_METHOD = "/mesh.wire.v1.Catalog/List"


class DialledStream:
    """The client's side of `Link.Open`."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._call = call

    async def read(self) -> bytes | None:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise lost(error) from error
        if isinstance(message, bytes):
            return message
        status = await self._call.code()
        if status is not grpc.StatusCode.OK:
            raise LinkLost(_words(status, await self._call.details() or ""))
        return None

    async def write(self, data: bytes) -> None:
        try:
            await self._call.write(data)
        except grpc.aio.AioRpcError as error:
            raise lost(error) from error
        except ENDED as error:
            raise LinkLost(str(error) or "the call has ended") from error

    async def finish(self) -> None:
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, *ENDED) as error:
            raise LinkLost(str(error)) from error


class AcceptedStream:
    """The server's side. gRPC cancels the handler when the connection breaks."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        try:
            message = await self._context.read()
        except ENDED as error:
            raise LinkLost(str(error) or "the call has ended") from error
        return message if isinstance(message, bytes) else None

    async def write(self, data: bytes) -> None:
        try:
            await self._context.write(data)
        except ENDED as error:
            raise LinkLost(str(error) or "the call has ended") from error

    async def finish(self) -> None:
        raise AssertionError("an accepted stream ends with its handler")


def lost(error: grpc.aio.AioRpcError) -> LinkLost:
    return LinkLost(_words(error.code(), error.details() or ""))


def _words(code: grpc.StatusCode, details: str) -> str:
    return f"{code.name.lower().replace('_', ' ')}: {details[:300]}"
