"""Who may use the console: a page of this very origin, whose reader is logged in.

The admin API's own guard has checked Host and Origin before. Here every path but the page itself and the login also
needs the cookie and the key of a session (`sessions.py`); a request that changes something must say an Origin, which
must be the Host it was sent to. The admin API itself takes no cookie: a session is good under /console/ only.

Every answer says what a browser may do with it (HEADERS): nothing but what comes from here, no markup out of text, in
nobody's frame, kept in no cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.console.errors import PageForeign, SessionRefused
from gateway.console.sessions import Session, Sessions
from gateway.http.described import operation_of
from gateway.http.guard import check_content_type
from gateway.http.query import check_query

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_TYPES: Final = frozenset({"application/json"})
KEY_HEADER: Final = "mesh-console-key"
SESSION: Final = web.RequestKey("session", Session)
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), clipboard-read=()",
}


def guard(sessions: Sessions) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        check_same_page(request)
        check_content_type(request, BODY_TYPES)
        check_query(request)
        declared = operation_of(request.match_info.handler)
        if declared is None or not declared.is_open:
            session = sessions.find(request.cookies.get(cookie_name(request), ""), request.headers.get(KEY_HEADER, ""))
            if session is None:
                raise SessionRefused
            request[SESSION] = session
        return await handler(request)

    return checked


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def check_same_page(request: web.Request) -> None:
    """Raises PageForeign."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if site not in {"same-origin", "none"} and not is_visit(request):
        raise PageForeign(f"the browser says that it is {site[:40]}")
    if request.method not in {"GET", "HEAD"} and request.headers.get("Origin") != f"http://{request.host}":
        raise PageForeign("it does not say this origin")


def is_visit(request: web.Request) -> bool:
    """Somebody follows a link to the page itself, which does nothing yet and may come from anywhere."""
    return request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"


def cookie_name(request: web.Request) -> str:
    """With the port: gateways of one machine share their cookies, and would log each other's reader out."""
    return f"mesh-console-{request.host.rpartition(':')[2]}"
