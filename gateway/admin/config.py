"""The configuration that this gateway runs with.

GET /v1/config    {"path", "settings": [{key, value, origin}]}; secrets are hidden
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin import answers
from gateway.config import explained
from gateway.http.described import operation
from gateway.services import Services


def routes(services: Services) -> list[web.RouteDef]:
    @operation("the configuration in force; secrets are hidden", answers=answers.CONFIG)
    async def explain(request: web.Request) -> web.Response:
        return web.json_response(explained(services.config))

    return [web.get("/v1/config", explain)]
