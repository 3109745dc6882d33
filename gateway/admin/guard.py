"""Who may speak to the admin API: a local program that holds the token, never a web page.

Middlewares, outermost first: `errors` (every failure becomes one JSON form; an unknown exception is logged with an
incident number and shown as that number only), `guard` (exact Host, no foreign Origin, token, JSON only). A page of
another site fails by Origin or content type, a rebound DNS name by Host, everything else by the token.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable

import structlog
from aiohttp import web

from gateway.admin.errors import (
    BodyRefused,
    BodyTooLarge,
    ContentTypeRefused,
    HostRefused,
    InternalFailure,
    MethodRefused,
    OriginRefused,
    PathAbsent,
    TokenRefused,
    error_body,
    status_of,
)
from gateway.admin.query import check_query
from gateway.audit.actor import OPERATOR, acting
from mesh.errors import MeshError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES = 1024 * 1024
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
JSON_TYPES = frozenset({"application/json", "application/x-ndjson"})
# never seen by anybody: what proxies log for a client that left before its answer
CLIENT_GONE = 499
_log = structlog.get_logger("gateway.admin")


def guard(tokens: Callable[[], Iterable[str]], hosts: frozenset[str]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """The checks before any handler; `hosts` are allowed beside the listener's own loopback names."""

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        allowed = hosts | own_hosts(request)
        check_host(request, allowed)
        check_origin(request, allowed)
        if request.path not in OPEN_PATHS:
            check_token(request, tokens())
            check_content_type(request)
            check_query(request)
        with acting(OPERATOR):  # nobody else holds the token
            return await handler(request)

    return checked


def own_hosts(request: web.Request) -> frozenset[str]:
    """The names under which a local program may know this listener, by the port it really has."""
    address = request.get_extra_info("sockname")
    if not isinstance(address, tuple):
        return frozenset()
    return frozenset(f"{name}:{address[1]}" for name in ("127.0.0.1", "localhost", "[::1]"))


def check_host(request: web.Request, allowed: frozenset[str]) -> None:
    given = request.headers.getall("Host", [])
    if len(given) != 1 or given[0].lower() not in allowed:
        raise HostRefused(", ".join(given)[:200])


def check_origin(request: web.Request, allowed: frozenset[str]) -> None:
    for origin in request.headers.getall("Origin", []):
        scheme, _, host = origin.lower().partition("://")
        if scheme != "http" or host not in allowed:
            raise OriginRefused(origin[:200])


def check_token(request: web.Request, tokens: Iterable[str]) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.headers.get("mesh-admin-token", "")
    # bytes that are no text reach us as lone surrogates
    presented = given.strip().encode("utf-8", "surrogateescape")
    # every token is compared, so that time does not say which of them was close
    matches = [hmac.compare_digest(presented, token.encode()) for token in tokens if token]
    if not any(matches):
        raise TokenRefused


def check_content_type(request: web.Request) -> None:
    """JSON, and not compressed. Raises ContentTypeRefused."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise ContentTypeRefused(f"{request.content_type}, {encoding}"[:200])
    if request.method in {"GET", "HEAD"} or (request.method == "DELETE" and not request.body_exists):
        return
    if request.content_type not in JSON_TYPES:
        raise ContentTypeRefused(request.content_type[:200])


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure as `{"error": {code, sentence, remedy, actor}}` with its status."""
    try:
        return await handler(request)
    except (ConnectionError, web.RequestPayloadError) as error:
        if not is_gone(request):
            return answer(as_mesh_error(request, error))
        _log.debug("admin client went away", method=request.method, path=request.path)
        return web.Response(status=CLIENT_GONE)
    except Exception as error:
        return answer(as_mesh_error(request, error))


def is_gone(request: web.Request) -> bool:
    """Whether nobody waits for the answer any more."""
    return request.transport is None or request.transport.is_closing()


def as_mesh_error(request: web.Request, error: Exception) -> MeshError:
    """The error to show for `error`; an unknown one is logged here and nowhere else."""
    if isinstance(error, MeshError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLarge(MAX_BODY_BYTES)
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodRefused(request.method, request.path[:200], ", ".join(sorted(error.allowed_methods)))
    if isinstance(error, web.HTTPNotFound):
        return PathAbsent(request.method, request.path[:200])
    if isinstance(error, web.RequestPayloadError):
        return BodyRefused("its body does not come as its headers say")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return BodyRefused("it is not JSON")
    incident = secrets.token_hex(6)
    _log.error("admin request failed", incident=incident, method=request.method, path=request.path, exc_info=error)
    return InternalFailure(incident)


def answer(error: MeshError) -> web.Response:
    headers = {"Allow": error.allowed} if isinstance(error, MethodRefused) else {}
    if isinstance(error, TokenRefused):
        headers = {"WWW-Authenticate": "Bearer"}
    return web.json_response(error_body(error), status=status_of(error), headers=headers)
