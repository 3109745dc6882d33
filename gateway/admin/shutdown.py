"""`POST /v1/shutdown`: the same clean end as SIGTERM, for jobs and sidecars."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web


def routes(stop: Callable[[], None]) -> list[web.RouteDef]:
    """`stop` begins the shutdown and returns at once."""

    async def shutdown(request: web.Request) -> web.Response:
        stop()
        return web.json_response({"stopping": True}, status=202)

    return [web.post("/v1/shutdown", shutdown)]
