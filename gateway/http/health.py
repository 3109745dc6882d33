"""`/livez` and `/readyz?verbose`, as Kubernetes asks them: no token needed, no secrets told."""

from __future__ import annotations

from aiohttp import web

from gateway.health import Health
from gateway.http.described import Text, operation


def routes(health: Health) -> list[web.RouteDef]:
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

    return [web.get("/livez", livez), web.get("/readyz", readyz)]
