"""Verification of a subscription, as a stream.

GET /v1/subscriptions/{name}/verify    newline-delimited: begin, progress …, lane …, result

It only reads. Each value has an `event`; the last one is `result`, which carries the totals, the lanes with their
evidence, and the closing line.
"""

from __future__ import annotations

from aiohttp import web

from gateway.http import schemas
from gateway.http.described import operation
from gateway.http.ndjson import LineWriter
from gateway.services import Services
from gateway.verify.run import verify


def routes(services: Services) -> list[web.RouteDef]:
    @operation("compare both logs, independently of the mirror", answers=schemas.REPORT, streams=True)
    async def verification(request: web.Request) -> web.StreamResponse:
        writer = LineWriter(request)
        try:
            await verify(services, request.match_info["name"], writer.send)
        except ConnectionResetError:
            return writer.response
        except Exception as error:
            return await writer.fail(error)
        return await writer.finish()

    return [web.get("/v1/subscriptions/{name}/verify", verification)]
