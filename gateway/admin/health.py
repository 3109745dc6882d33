"""`/livez`, `/readyz?verbose`, `/metrics`: no token needed, no secrets told."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.health import Health
from gateway.http.described import Text, operation

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def routes(health: Health, render_metrics: Callable[[], bytes]) -> list[web.RouteDef]:
    """`render_metrics` gives the Prometheus text."""

    @operation("whether the process answers", is_open=True)
    async def livez(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    @operation(
        "whether it is ready; 503 where not",
        query={"verbose": Text(required=False)},
        answers={200: {}, 503: {}},
        is_open=True,
    )
    async def readyz(request: web.Request) -> web.Response:
        results = health.results()
        ready = all(result.ok for result in results)
        lines = [f"[{'+' if r.ok else '-'}] {r.name}{': ' + r.why if r.why else ''}" for r in results]
        verdict = "ready" if ready else "not ready"
        text = "\n".join([*lines, verdict]) if "verbose" in request.query else verdict
        return web.Response(text=text + "\n", status=200 if ready else 503)

    @operation("metrics in Prometheus text form", is_open=True)
    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=render_metrics(), headers={"Content-Type": METRICS_TYPE})

    return [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)]
