"""`listen.health`: /livez, /readyz and /metrics alone, for an orchestrator's probes and Prometheus on other machines.

It has no token and tells no secret, so it may be on any address, while the admin API beside it stays on loopback. Its
socket is taken before anything runs and answered last: ready means that all other listeners answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from gateway.address import Address
from gateway.health import Health
from gateway.http.door import Door, open_door

if TYPE_CHECKING:
    from gateway.http.serving import Listening

NAME = "health"


def reserve(address: Address | None) -> Door | None:
    """None where there shall be none. Raises AddressRefused, PortInUse."""
    return None if address is None else open_door(address.host, address.port, NAME, anywhere=True)


async def serve(door: Door, health: Health, render_metrics: Callable[[], bytes] = bytes) -> Listening:
    """Answer whoever comes through the door; close what it gives."""
    await asyncio.to_thread(import_module, "gateway.admin.server")  # a start shall not wait for its import
    from aiohttp import web

    from gateway.admin import health as routes
    from gateway.admin import server

    app = web.Application()
    app.add_routes(routes.routes(health, render_metrics))
    return await server.serve(app, door)
