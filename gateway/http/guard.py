"""Who may speak to an HTTP API of the gateway: a local program that holds its token, never a web page.

Middlewares, outermost first: `errors` (every failure gets the API's form; an unknown exception is logged with an
incident number and shown as that number only), `guard` (exact Host, no foreign Origin, token, JSON only). A page of
another site fails by Origin or content type, a rebound DNS name by Host, everything else by the token.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TypeAlias

import structlog
from aiohttp import web

from gateway.audit.actor import acting
from gateway.http.api import Api, api_of, remember
from gateway.http.errors import (
    BodyRefused,
    ContentTypeRefused,
    HostRefused,
    MethodRefused,
    OriginRefused,
    logged,
    status_of,
)
from gateway.http.query import check_query
from mesh.errors import MeshError

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware: TypeAlias = Callable[..., Awaitable[web.StreamResponse]]

UNAUTHORIZED = 401
# never seen by anybody: what proxies log for a client that left before its answer
CLIENT_GONE = 499
_log = structlog.get_logger("gateway.http")


def guard_of(api: Api, tokens: Callable[[], Iterable[str]], hosts: frozenset[str]) -> Middleware:
    """The checks before any handler; `hosts` are allowed beside the listener's own loopback names."""

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        allowed = hosts | own_hosts(request)
        check_host(request, allowed)
        check_origin(request, allowed)
        if request.path not in api.open_paths and not request.path.startswith(api.guarded_apart):
            check_token(request, api, tokens())
            check_content_type(request, api.body_types)
            check_query(request)
        with acting(api.actor):  # nobody else holds the token
            return await handler(request)

    return checked


def own_hosts(request: web.Request) -> frozenset[str]:
    """The names under which a local program may know this listener: by the port it really has.

    A Unix socket has no port: `localhost` is what clients send there.
    """
    address = request.get_extra_info("sockname")
    if not isinstance(address, tuple):
        return frozenset({"localhost"})
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


def check_token(request: web.Request, api: Api, tokens: Iterable[str]) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.headers.get(api.token_header, "")
    # bytes that are no text reach us as lone surrogates
    presented = given.strip().encode("utf-8", "surrogateescape")
    # every token is compared, so that time does not say which of them was close
    matches = [hmac.compare_digest(presented, token.encode()) for token in tokens if token]
    if not any(matches):
        raise api.token_refused()


def check_content_type(request: web.Request, allowed: Collection[str]) -> None:
    """JSON, and not compressed. Raises ContentTypeRefused."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise ContentTypeRefused(f"{request.content_type}, {encoding}"[:200])
    if request.method in {"GET", "HEAD"} or (request.method == "DELETE" and not request.body_exists):
        return
    if request.content_type not in allowed:
        raise ContentTypeRefused(request.content_type[:200])


def errors_of(api: Api) -> Middleware:
    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every failure in the form of the API, with its status."""
        remember(request, api)
        try:
            return await handler(request)
        except (ConnectionError, web.RequestPayloadError) as error:
            if not is_gone(request):
                return answer(api, as_mesh_error(request, error))
            _log.debug(f"{api.name} client went away", method=request.method, path=request.path)
            return web.Response(status=CLIENT_GONE)
        except Exception as error:
            return answer(api, as_mesh_error(request, error))

    return errors


def is_gone(request: web.Request) -> bool:
    """Whether nobody waits for the answer any more."""
    return request.transport is None or request.transport.is_closing()


def as_mesh_error(request: web.Request, error: Exception) -> MeshError:
    """The error to show for `error`; an unknown one is logged here and nowhere else."""
    api = api_of(request)
    if isinstance(error, MeshError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return api.body_too_large()
    if isinstance(error, web.HTTPMethodNotAllowed):
        return api.method_refused(request, ", ".join(sorted(error.allowed_methods)))
    if isinstance(error, web.HTTPNotFound):
        return api.path_absent(request)
    if isinstance(error, web.RequestPayloadError):
        return BodyRefused("its body does not come as its headers say")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return BodyRefused("it is not JSON")
    return logged(_log, f"{api.name} request failed", error, method=request.method, path=request.path)


def answer(api: Api, error: MeshError) -> web.Response:
    status = status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == UNAUTHORIZED else {}
    if isinstance(error, MethodRefused):
        headers["Allow"] = error.allowed
    return web.json_response(api.body_of(error), status=status, headers=headers, content_type=api.refusal_type)
