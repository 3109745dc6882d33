"""A real local HTTP API on a free loopback port or a Unix socket, over an embedded cluster, without peers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import jsonschema_rs
from aiohttp import web

from gateway.address import Address
from gateway.admin.token import TokenFile
from gateway.http.described import operation_of
from gateway.http.serving import Listening
from gateway.local.api import LocalApi
from gateway.local.doors import http_door
from gateway.local.http_problems import PROBLEM
from gateway.local.http_server import create_app, start
from gateway.unix_socket import SocketPath
from tests.support.admin import AdminGateway, admin_gateway

TOKEN_NAME = "local.token"


async def conforms(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer is what the OpenAPI document says that it is."""
    if isinstance(response, web.Response) and response.content_type.endswith("json") and response.body:
        declared = operation_of(request.match_info.handler)
        known = declared.answers if declared is not None else {}
        jsonschema_rs.validate(dict(known.get(response.status, PROBLEM)), json.loads(response.text or ""))


@dataclass
class LocalHttp:
    """What a test needs of it."""

    admin: AdminGateway
    api: LocalApi
    listening: Listening
    session: aiohttp.ClientSession
    token: str
    stops: list[bool]

    @property
    def url(self) -> str:
        address = self.listening.address
        return "http://localhost" if address.startswith("unix:") else f"http://{address}"


@asynccontextmanager
async def local_http(
    directory: Path, place: Address | SocketPath | None = None, **settings: float
) -> AsyncIterator[LocalHttp]:
    """`settings` are those of the table `local`."""
    async with admin_gateway(directory) as admin:
        stops: list[bool] = []
        known = admin.services.config
        config = replace(known, local=known.local.model_copy(update=settings))
        api = LocalApi(replace(admin.services, config=config), admin.health, lambda: stops.append(True))
        tokens = TokenFile(directory / "state" / TOKEN_NAME)
        app = create_app(api, tokens)
        app.on_response_prepare.append(conforms)
        listening = await start(app, http_door(place or Address("127.0.0.1", 0)))
        connector = aiohttp.UnixConnector(str(place.path)) if isinstance(place, SocketPath) else None
        headers = {"mesh-api-token": tokens()[0]}
        try:
            async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
                yield LocalHttp(admin, api, listening, session, tokens()[0], stops)
        finally:
            api.end_readings()
            await listening.close()
            await api.close()


async def refusal(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """The status and the code of an answer that is a problem."""
    assert response.content_type == "application/problem+json"
    body = await response.json(content_type="application/problem+json")
    assert body["status"] == response.status
    return response.status, body["code"]
