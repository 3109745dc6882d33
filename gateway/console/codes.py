"""An address that logs in, for `mesh console`.

POST /v1/console-address    {address, ends_s}: good for one login, within a minute
"""

from __future__ import annotations

from aiohttp import web

from gateway.console.errors import LoginRefused
from gateway.console.login import PATH
from gateway.console.sessions import CODE_S, Sessions
from gateway.http import schemas
from gateway.http.described import operation

ANSWER = schemas.object_of({"address": schemas.TEXT, "ends_s": schemas.WHOLE})


def routes(sessions: Sessions) -> list[web.RouteDef]:
    @operation("an address of the console that logs in, once", answers={201: ANSWER})
    async def make(request: web.Request) -> web.Response:
        code = sessions.code()
        if code is None:
            raise LoginRefused("admin token of this gateway")
        # behind the #, which browsers send to nobody and gateways write into no log
        address = f"http://{request.host}{PATH}#code={code}"
        return web.json_response({"address": address, "ends_s": int(CODE_S)}, status=201)

    return [web.post("/v1/console-address", make)]
