"""An HTTP API as an OpenAPI 3.1 document, made from the routes and what their handlers declare."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from gateway.http.described import Operation, Schema, Shape, body_schema, operation, operation_of
from gateway.http.schemas import REPORT

_JSON, _LINES, _EVENTS, _PLAIN = "application/json", "application/x-ndjson", "text/event-stream", "text/plain"
_BEARER: Schema = {"type": "http", "scheme": "bearer"}


@dataclass(frozen=True, slots=True)
class About:
    """What the document says of the API as a whole."""

    title: str
    description: str
    error: Schema
    error_type: str = _JSON
    security: Mapping[str, Schema] = field(default_factory=lambda: {"token": _BEARER})
    """Ways to carry the token; one is enough."""


def routes(path: str, app_routes: Iterable[web.RouteDef], about: About) -> list[web.RouteDef]:
    """The route that answers with the document of `app_routes` and of itself."""

    @operation("this document", answers=REPORT)
    async def show(request: web.Request) -> web.Response:
        return web.json_response(made)

    own = web.get(path, show)
    made = document([*app_routes, own], about)
    return [own]


def document(app_routes: Iterable[web.RouteDef], about: About) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in app_routes:
        declared = operation_of(route.handler)
        assert declared is not None, f"{route.method} {route.path} is not described"
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, declared, about)
    return {
        "openapi": "3.1.0",
        "info": {"title": about.title, "version": "1", "description": about.description},
        "security": [{name: []} for name in about.security],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": {"Error": about.error}, "securitySchemes": dict(about.security)},
    }


def _operation(route: web.RouteDef, declared: Operation, about: About) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "_", f"{route.method.lower()} {route.path}").strip("_")
    found: dict[str, Any] = {"operationId": name, "summary": declared.summary}
    parameters = [
        *_path_parameters(route.path),
        *_parameters("query", declared.query),
        *_parameters("header", declared.headers),
    ]
    if parameters:
        found["parameters"] = parameters
    if declared.body is not None:
        required = any(kind.required for kind in declared.body.values())
        found["requestBody"] = {"required": required, "content": {_JSON: {"schema": body_schema(declared.body)}}}
    elif declared.takes_lines:
        found["requestBody"] = {"content": {_LINES: {"schema": {"type": "string"}}}}
    found["responses"] = _responses(declared, about)
    if declared.is_open:
        found["security"] = []
    return found


def _responses(declared: Operation, about: About) -> dict[str, Any]:
    kind = _PLAIN if declared.is_open else _LINES if declared.streams else _JSON
    found: dict[str, Any] = {}
    for status, schema in declared.answers.items():
        # a line of a stream has the schema; the whole is not JSON
        shown = {"type": "string"} if declared.is_open else {} if declared.streams else schema
        kinds = (kind, _EVENTS) if declared.has_events else (kind,)
        found[str(status)] = {"description": declared.summary, "content": {each: {"schema": shown} for each in kinds}}
    refusal = {"schema": {"$ref": "#/components/schemas/Error"}}
    found["default"] = {"description": "a refusal, or a failure", "content": {about.error_type: refusal}}
    return found


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _parameters(place: str, shape: Shape) -> Iterator[dict[str, Any]]:
    for name, kind in shape.items():
        yield {"name": name, "in": place, "required": kind.required, "schema": kind.schema()}
