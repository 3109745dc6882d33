"""The admin API as an OpenAPI document.

GET /openapi.json    the document; docs/reference/openapi.json is the same
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from gateway.admin import answers
from gateway.http import openapi
from gateway.http.openapi import About

PATH = "/openapi.json"
_TEXT = """\
What the mesh command speaks to its local gateway. It listens on a loopback address only and asks for the token of the
state directory's admin.token file. A body is JSON of at most 1 MiB; unknown fields, and parameters of the query that a
path does not know, are refused. Every refusal is {"error": {code, sentence, remedy, actor}}: the codes stand in
errors.md."""
ABOUT = About("Stream Mesh admin API", " ".join(_TEXT.split()), answers.ERROR)


def routes(app_routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """The route that answers with the document of `app_routes` and of itself."""
    return openapi.routes(PATH, app_routes, ABOUT)


def document(app_routes: Iterable[web.RouteDef]) -> dict[str, Any]:
    return openapi.document(app_routes, ABOUT)
