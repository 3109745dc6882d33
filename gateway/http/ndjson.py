"""Streaming answers: newline-delimited JSON, back-pressure, errors in the stream.

The response starts with the first line, so that a refusal before it still has its HTTP status; a MeshError after it
becomes a last line in the API's form. A client that has gone away ends the handler by ConnectionResetError.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from gateway.http.api import api_of
from gateway.http.guard import as_mesh_error, is_gone


class LineWriter:
    """Writes lines as the answer to one request. Call `finish` at the end, whatever was sent."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        self._started = False

    def __repr__(self) -> str:
        return f"<LineWriter {self._request.path} {'started' if self._started else 'silent'}>"

    async def send(self, value: Mapping[str, object]) -> None:
        await self.send_block(json.dumps(value, ensure_ascii=False).encode() + b"\n")

    async def send_block(self, block: bytes) -> None:
        """Send whole lines; an empty block only notices that the client has gone."""
        if is_gone(self._request):
            raise ConnectionResetError("the client has gone")
        await self.start()
        if block:
            await self.response.write(block)

    async def start(self) -> None:
        if not self._started:
            self._started = True
            await self.response.prepare(self._request)

    async def fail(self, error: Exception) -> web.StreamResponse:
        """End with `error`: raised again where nothing was sent, so that it gets its status, else a last line."""
        if not self._started:
            raise error
        await self.send(api_of(self._request).body_of(as_mesh_error(self._request, error)))
        return await self.finish()

    async def finish(self) -> web.StreamResponse:
        await self.start()
        await self.response.write_eof()
        return self.response


async def respond_lines(request: web.Request, stream: AsyncIterator[Mapping[str, object]]) -> web.StreamResponse:
    """Answer `request` with the values of `stream`, which is closed in any case."""
    writer = LineWriter(request)
    try:
        async for value in stream:
            await writer.send(value)
    except ConnectionResetError:
        return writer.response
    except Exception as error:
        return await writer.fail(error)
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    return await writer.finish()
