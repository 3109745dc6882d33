"""Serves an application to whoever comes through a door, with bounds on connections.

A. Of more connections than there may be, each is told so and closed: those that are open go on.
B. A connection that brings no whole request for KEEPALIVE_S is closed; a request may last for as long as it likes.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

from gateway.http.api import Api
from gateway.http.door import Door
from gateway.http.errors import status_of
from mesh.errors import CallerError

KEEPALIVE_S = 75.0
CLOSE_S = 2.0
"""At the end, for requests under way. Watching clients hold their stream for ever: this is for them to notice."""
REFUSED_S = 1.0
"""For who was one too many to take the answer."""


@dataclass(eq=False)
class TooManyConnections(CallerError):
    api: str
    limit: int

    code: ClassVar[str] = "too-many-connections"
    sentence: ClassVar[str] = "the {api} API has {limit} connections, which is all it takes"
    hint: ClassVar[str] = "close connections, or send requests one after another over one of them"
    retriable: ClassVar[bool] = True
    status: ClassVar[int] = 503


@dataclass(frozen=True, slots=True)
class Listening:
    """An API behind its door."""

    runner: web.AppRunner
    server: asyncio.Server
    door: Door

    @property
    def address(self) -> str:
        return self.door.address

    @property
    def port(self) -> int:
        """Of a listener that has one."""
        return int(self.address.rpartition(":")[2])

    async def close(self) -> None:
        """Stop listening; requests in progress get CLOSE_S, then they are cut."""
        self.server.close()
        await self.runner.cleanup()
        self.door.close()


async def serve(app: web.Application, door: Door, api: Api, max_connections: int) -> Listening:
    """Answer whoever comes through the door, which is closed with the API."""
    # nobody sends compressed bodies here: what is not unpacked is no bomb
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=CLOSE_S, auto_decompress=False, keepalive_timeout=KEEPALIVE_S
    )
    await runner.setup()
    made = runner.server
    assert made is not None
    factory = _Bounded(made, max_connections, _refusal(api, TooManyConnections(api.name, max_connections)))
    server = await asyncio.get_running_loop().create_server(factory, sock=door.socket)
    return Listening(runner, server, door)


class _Bounded:
    """Makes what speaks over a connection that has been accepted."""

    def __init__(self, made: web.Server, limit: int, refusal: bytes) -> None:
        self._made, self._limit, self._refusal = made, limit, refusal
        self._coming = 0
        """Accepted in this turn of the loop: `made` does not count them yet."""

    def __call__(self) -> asyncio.BaseProtocol:
        if len(self._made.connections) + self._coming >= self._limit:
            return _Refused(self._refusal)
        self._coming += 1
        asyncio.get_running_loop().call_soon(self._arrived)
        return self._made()

    def _arrived(self) -> None:
        self._coming -= 1


def _refusal(api: Api, error: TooManyConnections) -> bytes:
    """The same as for any error, as bytes: there is no request that it could be the answer to."""
    body = json.dumps(api.body_of(error)).encode()
    head = f"HTTP/1.1 {status_of(error)} Service Unavailable\r\nContent-Type: {api.refusal_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


class _Refused(asyncio.Protocol):
    """One connection too many: answered before it asks, and closed."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._answer)
        transport.write_eof()
        # what arrives is read and dropped: a connection that is closed over unread bytes loses the answer
        asyncio.get_running_loop().call_later(REFUSED_S, transport.abort)
