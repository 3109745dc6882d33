"""The configuration that this gateway runs with.

GET  /v1/config           {"path", "settings": [{key, value, origin}], "fault", "restart"}; secrets are hidden
POST /v1/config/reload    {"applied", "restart"}: read file and environment again, as at SIGHUP

`fault` says why what the file says by now is refused, `restart` are keys whose values in it wait for a restart.
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin import answers
from gateway.config import explained
from gateway.http.described import operation
from gateway.reloading import LiveConfig
from gateway.services import Services


def routes(services: Services) -> list[web.RouteDef]:
    @operation("the configuration in force; secrets are hidden", answers=answers.CONFIG)
    async def explain(request: web.Request) -> web.Response:
        live = services.live or LiveConfig(services.config)
        told = {"fault": live.fault, "restart": list(live.restart)}
        return web.json_response(explained(services.config) | told)

    @operation("read the configuration again and take what can be taken", answers=answers.RELOADED)
    async def reload(request: web.Request) -> web.Response:
        found = await (services.live or LiveConfig(services.config)).reload()
        return web.json_response({"applied": list(found.applied), "restart": list(found.restart)})

    return [web.get("/v1/config", explain), web.post("/v1/config/reload", reload)]
