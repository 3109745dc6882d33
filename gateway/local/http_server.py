"""The local HTTP API's application, served behind its door (`doors.py`: loopback, or a Unix socket).

Routes come from the `http_*` modules, each `routes(api) -> list[web.RouteDef]`; what guards them is in
`gateway.http.guard`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import cast

from aiohttp import web

from gateway.health import Health
from gateway.http import health, shutdown
from gateway.http.door import Door
from gateway.http.guard import errors_of, guard_of
from gateway.http.serving import Listening, serve
from gateway.local import http_cursors, http_openapi, http_publish, http_read, http_status, http_subscriptions
from gateway.local.api import LocalApi
from gateway.local.http_problems import LOCAL

MODULES = (http_publish, http_read, http_cursors, http_subscriptions, http_status)
MAX_CONNECTIONS = 256


def create_app(api: LocalApi, tokens: Callable[[], Iterable[str]]) -> web.Application:
    """The local HTTP API over `api`; `tokens` gives the valid ones (`gateway.admin.token.TokenFile`)."""
    known = replace(LOCAL, max_body_bytes=api.services.config.local.max_request_bytes)
    app = web.Application(
        middlewares=[errors_of(known), guard_of(known, tokens, frozenset())], client_max_size=known.max_body_bytes
    )
    app.add_routes(described_routes(api))
    return app


def described_routes(api: LocalApi) -> list[web.RouteDef]:
    """Every route, and the one that describes them."""
    found = [route for module in MODULES for route in module.routes(api)]
    found += health.routes(api.health)
    found += shutdown.routes(api.stop)
    return [*found, *http_openapi.routes(found)]


def all_routes() -> list[web.RouteDef]:
    """Every route, without a gateway: for whoever reads the declarations and calls no handler."""
    return described_routes(cast(LocalApi, _Absent(Health(), lambda: None)))


@dataclass(frozen=True, slots=True)
class _Absent:
    """Stands for the API where only the declarations are read."""

    health: Health
    stop: Callable[[], None]


async def start(app: web.Application, door: Door) -> Listening:
    """Answer whoever comes through the door; close what it gives, which closes the door."""
    return await serve(app, door, LOCAL, MAX_CONNECTIONS)
