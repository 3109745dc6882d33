"""The admin API's application, served behind its door (`door.py`, loopback only).

Routes come from the modules of this package, each `routes(services) -> list[web.RouteDef]`; what guards them is in
`guard.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import cast

from aiohttp import web

from gateway.admin import (
    audit,
    catalog,
    certs,
    config,
    doctor,
    drills,
    enrolment,
    grants,
    groups,
    guard,
    health,
    offsets,
    openapi,
    peer_certificates,
    peer_trust,
    peers,
    shares,
    status,
    subscriptions,
    topics,
    verify,
)
from gateway.console import codes
from gateway.console.app import add_console
from gateway.console.sessions import Sessions
from gateway.health import Health
from gateway.http import serving, shutdown
from gateway.http.door import Door, open_door
from gateway.http.serving import Listening
from gateway.services import Services

MODULES = (
    topics,
    status,
    peers,
    peer_trust,
    enrolment,
    shares,
    grants,
    subscriptions,
    catalog,
    offsets,
    config,
    verify,
    certs,
    peer_certificates,
    audit,
    drills,
    doctor,
    groups,
)
MAX_CONNECTIONS = 256


def create_app(
    services: Services,
    health_state: Health,
    token: str | Callable[[], Iterable[str]],
    *,
    render_metrics: Callable[[], bytes] = bytes,
    stop: Callable[[], None] | None = None,
    hosts: Iterable[str] = (),
) -> web.Application:
    """The admin API over `services`, and the console over it.

    `token` is one token or a callable that gives the valid ones (`gateway.admin.token.TokenFile`); `stop` begins the
    shutdown; `hosts` are `host:port` values of the Host header that are allowed beside the loopback names.
    """
    tokens = token if callable(token) else lambda: (token,)
    app = web.Application(
        middlewares=[guard.errors, guard.guard(tokens, frozenset(hosts))], client_max_size=guard.MAX_BODY_BYTES
    )
    sessions = Sessions(tokens, time.monotonic)
    app.add_routes(described_routes(services, health_state, render_metrics, stop, sessions))
    add_console(app, services, health_state, sessions, module_routes(services), guard.MAX_BODY_BYTES)
    return app


def module_routes(services: Services) -> list[web.RouteDef]:
    """What is about shares, peers, subscriptions and the like."""
    return [route for module in MODULES for route in module.routes(services)]


def described_routes(
    services: Services,
    health_state: Health | None = None,
    render_metrics: Callable[[], bytes] = bytes,
    stop: Callable[[], None] | None = None,
    sessions: Sessions | None = None,
) -> list[web.RouteDef]:
    """Every route, and the one that describes them."""
    found = module_routes(services)
    found += codes.routes(sessions or Sessions(tuple, time.monotonic))
    found += health.routes(health_state or Health(), render_metrics)
    found += shutdown.routes(stop or _nothing)
    return [*found, *openapi.routes(found)]


def all_routes() -> list[web.RouteDef]:
    """Every route of a gateway, without one: for whoever reads the declarations and calls no handler."""
    return described_routes(cast(Services, _Absent()))


class _Absent:
    """Stands for the services where only the declarations are read."""

    def __getattr__(self, name: str) -> _Absent:
        return self


def _nothing() -> None:
    pass


def health_app(health_state: Health) -> web.Application:
    """What there is to ask of a gateway that has not started yet."""
    app = web.Application()
    app.add_routes(health.routes(health_state, bytes))
    return app


async def serve(app: web.Application, door: Door) -> Listening:
    """Answer whoever comes through the door, which is closed with the API."""
    return await serving.serve(app, door, guard.ADMIN, MAX_CONNECTIONS)


async def start(app: web.Application, host: str, port: int) -> Listening:
    """Bind and serve. Raises what `open_door` raises."""
    return await serve(app, open_door(host, port))
