"""`/livez`, `/readyz?verbose`, `/metrics`: no token needed, no secrets told."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.health import Health
from gateway.http import health as checks
from gateway.http.described import operation

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def routes(health: Health, render_metrics: Callable[[], bytes]) -> list[web.RouteDef]:
    """`render_metrics` gives the Prometheus text."""

    @operation("metrics in Prometheus text form", is_open=True)
    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=render_metrics(), headers={"Content-Type": METRICS_TYPE})

    return [*checks.routes(health), web.get("/metrics", metrics)]
