"""The local HTTP API as an OpenAPI document.

GET /v1/openapi.json    the document; docs/reference/local-openapi.json is the same
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from gateway.http import openapi
from gateway.http.openapi import About
from gateway.local.http_problems import PROBLEM, PROBLEM_TYPE
from mesh.local.names import TOKEN_METADATA

PATH = "/v1/openapi.json"
_TEXT = """\
What an application asks of the gateway beside it. It listens on a loopback address or a Unix socket only and asks for a
token of the state directory's local.token file. A body is JSON of at most local.max_request_bytes (8 MiB); unknown
fields, and parameters of the query that a path does not know, are refused. Every refusal is a problem (RFC 9457) with
the members code, remedy, actor and retriable: the codes stand in errors.md."""
ABOUT = About(
    "Stream Mesh local API",
    " ".join(_TEXT.split()),
    PROBLEM,
    PROBLEM_TYPE,
    {
        "token": {"type": "apiKey", "in": "header", "name": TOKEN_METADATA},
        "bearer": {"type": "http", "scheme": "bearer"},
    },
)


def routes(app_routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """The route that answers with the document of `app_routes` and of itself."""
    return openapi.routes(PATH, app_routes, ABOUT)


def document(app_routes: Iterable[web.RouteDef]) -> dict[str, Any]:
    return openapi.document(app_routes, ABOUT)
