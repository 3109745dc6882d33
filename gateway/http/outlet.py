"""Writing an answer piece by piece to somebody who may not take it.

aiohttp waits for all writes of a connection with one future: a wait that is cancelled leaves it cancelled, for the next
write to fall over. So a write that its caller gives up goes on by itself, until it is taken or the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from aiohttp import web


class Outlet:
    """Of one response that has been prepared. Both methods may be cancelled, and raise ConnectionError."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response

    async def write(self, block: bytes) -> None:
        await _unspoilt(self._response.write(block))

    async def end(self, block: bytes = b"") -> None:
        await _unspoilt(self._response.write_eof(block))


async def _unspoilt(write: Awaitable[None]) -> None:
    writing = asyncio.ensure_future(write)
    writing.add_done_callback(_looked_at)
    await asyncio.shield(writing)


def _looked_at(writing: asyncio.Future[None]) -> None:
    """How a write ended that was given up is of no interest, nor worth a warning."""
    if not writing.cancelled():
        writing.exception()


async def last_word(request: web.Request, outlet: Outlet, block: bytes, within_s: float) -> None:
    """End with `block`; who does not take it `within_s` loses the connection."""
    transport = request.transport
    try:
        async with asyncio.timeout(within_s):
            await outlet.end(block)
    except (TimeoutError, ConnectionError):
        if transport is not None:
            transport.abort()
