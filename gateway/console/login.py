"""Logging in and out.

GET    /console/gateway     {organization, gateway}: whose console this is; needs no session
POST   /console/session     {token} or {code} -> {key}, and the cookie
DELETE /console/session     the session of the cookie ends
"""

from __future__ import annotations

from aiohttp import web

from gateway.console.errors import LoginRefused
from gateway.console.guard import cookie_name
from gateway.console.sessions import SESSION_S, Sessions
from gateway.http import schemas
from gateway.http.described import Text, operation
from gateway.http.fields import fields_of
from gateway.services import Services

PATH = "/console/"


def routes(services: Services, sessions: Sessions) -> list[web.RouteDef]:
    @operation(
        "whose console this is",
        answers=schemas.object_of({"organization": schemas.TEXT, "gateway": schemas.TEXT}),
        is_open=True,
    )
    async def gateway(request: web.Request) -> web.Response:
        return web.json_response(
            {"organization": services.config.organization, "gateway": services.config.gateway_name}
        )

    @operation(
        "log in",
        body={"token": Text(required=False), "code": Text(required=False)},
        answers={201: schemas.object_of({"key": schemas.TEXT})},
        is_open=True,
    )
    async def login(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        is_code = "code" in fields
        opened = sessions.redeem(fields.text("code")) if is_code else sessions.login(fields.text("token"))
        if opened is None:
            raise LoginRefused("code of this gateway, or no longer" if is_code else "admin token of this gateway")
        await services.audit.record("console.opened", "console", by="code" if is_code else "token")
        response = web.json_response({"key": opened.key}, status=201)
        response.set_cookie(
            cookie_name(request), opened.cookie, path=PATH, max_age=int(SESSION_S), httponly=True, samesite="Strict"
        )
        return response

    @operation("log out", answers=schemas.object_of({}), is_open=True)
    async def logout(request: web.Request) -> web.Response:
        sessions.end(request.cookies.get(cookie_name(request), ""))
        response = web.json_response({})
        response.del_cookie(cookie_name(request), path=PATH)
        return response

    return [web.get("/gateway", gateway), web.post("/session", login), web.delete("/session", logout)]
