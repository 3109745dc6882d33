"""The admin API as an OpenAPI 3.1 document, made from the routes and what their handlers declare.

GET /openapi.json    the document; docs/reference/openapi.json is the same
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web

from gateway.admin import answers
from gateway.admin.described import Operation, body_schema, operation, operation_of

PATH = "/openapi.json"
_JSON, _LINES, _PLAIN = "application/json", "application/x-ndjson", "text/plain"
_ABOUT = """\
What the mesh command speaks to its local gateway. It listens on a loopback address only and asks for the token of the
state directory's admin.token file. A body is JSON of at most 1 MiB; unknown fields, and parameters of the query that a
path does not know, are refused. Every refusal is {"error": {code, sentence, remedy, actor}}: the codes stand in
errors.md."""


def routes(app_routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """The route that answers with the document of `app_routes` and of itself."""

    @operation("this document", answers=answers.REPORT)
    async def show(request: web.Request) -> web.Response:
        return web.json_response(made)

    own = web.get(PATH, show)
    made = document([*app_routes, own])
    return [own]


def document(app_routes: Iterable[web.RouteDef]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in app_routes:
        declared = operation_of(route.handler)
        assert declared is not None, f"{route.method} {route.path} is not described"
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, declared)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stream Mesh admin API", "version": "1", "description": " ".join(_ABOUT.split())},
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Error": answers.ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: web.RouteDef, declared: Operation) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "_", f"{route.method.lower()} {route.path}").strip("_")
    found: dict[str, Any] = {"operationId": name, "summary": declared.summary}
    parameters = [*_path_parameters(route.path), *_query_parameters(declared)]
    if parameters:
        found["parameters"] = parameters
    if declared.body is not None:
        required = any(kind.required for kind in declared.body.values())
        found["requestBody"] = {"required": required, "content": {_JSON: {"schema": body_schema(declared.body)}}}
    elif declared.takes_lines:
        found["requestBody"] = {"content": {_LINES: {"schema": {"type": "string"}}}}
    found["responses"] = _responses(declared)
    if declared.is_open:
        found["security"] = []
    return found


def _responses(declared: Operation) -> dict[str, Any]:
    kind = _PLAIN if declared.is_open else _LINES if declared.streams else _JSON
    found: dict[str, Any] = {}
    for status, schema in declared.answers.items():
        # a line of a stream has the schema; the whole is not JSON
        shown = {"type": "string"} if declared.is_open else {} if declared.streams else schema
        found[str(status)] = {"description": declared.summary, "content": {kind: {"schema": shown}}}
    refusal = {"schema": {"$ref": "#/components/schemas/Error"}}
    found["default"] = {"description": "a refusal, or a failure", "content": {_JSON: refusal}}
    return found


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(declared: Operation) -> Iterator[dict[str, Any]]:
    for name, kind in declared.query.items():
        yield {"name": name, "in": "query", "required": kind.required, "schema": kind.schema()}
