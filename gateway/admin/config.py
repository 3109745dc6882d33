"""The configuration that this gateway runs with.

GET /v1/config    {"path", "settings": [{key, value, origin}]}; secrets are hidden
"""

from __future__ import annotations

from aiohttp import web

from gateway.config import explained
from gateway.services import Services


def routes(services: Services) -> list[web.RouteDef]:
    async def explain(request: web.Request) -> web.Response:
        return web.json_response(explained(services.config))

    return [web.get("/v1/config", explain)]
