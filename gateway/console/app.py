"""The console as an application of its own under /console, beside the admin API whose paths it offers to its pages.

Every path of the admin API under /v1/, but the one that ends the gateway, is answered under /console/api/v1/, too, by
the same handlers: there to whoever holds the token, here to whoever is logged in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from gateway.console import events, files, login
from gateway.console.events import Live
from gateway.console.guard import add_headers, guard
from gateway.console.history import History
from gateway.console.sampler import Sampler
from gateway.console.sessions import Sessions
from gateway.health import Health
from gateway.services import Services

PREFIX: Final = "/console"
NOT_HERE: Final = frozenset({"/v1/shutdown", "/v1/console-address"})


def add_console(
    app: web.Application,
    services: Services,
    health: Health,
    sessions: Sessions,
    api_routes: Iterable[web.RouteDef],
    max_body_bytes: int,
) -> None:
    """Serve the console as a part of `app`, over `api_routes` of the admin API."""
    history = History()
    live = Live(services, health, history, sessions)
    own = web.Application(middlewares=[guard(sessions)], client_max_size=max_body_bytes)
    own.add_routes(login.routes(services, sessions))
    own.add_routes(_under_api([*api_routes, *events.routes(live)]))
    own.add_routes(files.routes())
    own.on_response_prepare.append(add_headers)
    own.cleanup_ctx.append(Sampler(services, history).while_open)
    app.router.add_get("/", _to_console)
    app.router.add_get(PREFIX, _to_console)
    app.add_subapp(PREFIX, own)


def _under_api(routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    wanted = [each for each in routes if each.path not in NOT_HERE]
    return [web.RouteDef(each.method, f"/api{each.path}", each.handler, each.kwargs) for each in wanted]


async def _to_console(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": f"{PREFIX}/"})
