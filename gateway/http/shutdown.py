"""`POST /v1/shutdown`: the same clean end as SIGTERM, for jobs and sidecars."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.http.described import operation
from gateway.http.schemas import FLAG, object_of


def routes(stop: Callable[[], None]) -> list[web.RouteDef]:
    """`stop` begins the shutdown and returns at once."""

    @operation("end the gateway as SIGTERM does", answers={202: object_of({"stopping": FLAG})})
    async def shutdown(request: web.Request) -> web.Response:
        stop()
        return web.json_response({"stopping": True}, status=202)

    return [web.post("/v1/shutdown", shutdown)]
