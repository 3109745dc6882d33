"""What the pages live by: server-sent events, and the past for the plots.

GET api/events?subscription=    overview, lanes (of that subscription), tick (the time): an event each second, of what
                                has changed; it ends with the session
GET api/history?series=&window_s=    {series, samples: [[time_ms, records, bytes, lag_records, lag_s, gaps]]}

A series is `subscription:NAME` or `export:SHARE:PEER`. Pages that are not looked at close their stream themselves.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.console.errors import TooManyPages
from gateway.console.guard import SESSION
from gateway.console.history import History
from gateway.console.overview import lanes_of, overview
from gateway.console.sessions import Sessions
from gateway.health import Health
from gateway.http import schemas
from gateway.http.described import Number, Text, operation
from gateway.http.guard import is_gone
from gateway.http.query import query_number, query_text
from gateway.services import Services
from gateway.streams import Streams

EVERY_S = 1.0
MAX_STREAMS = 32
MAX_WINDOW_S = 86_400


@dataclass
class Live:
    """What the streams share."""

    services: Services
    health: Health
    history: History
    sessions: Sessions
    every_s: float = EVERY_S
    streams: Streams = field(default_factory=lambda: Streams(MAX_STREAMS, TooManyPages))

    def parts(self, subscription: str) -> dict[str, Callable[[], object]]:
        """What a page may be told, by the name of its event."""
        found: dict[str, Callable[[], object]] = {
            "overview": lambda: overview(self.services, self.health, self.history)
        }
        if subscription:
            found["lanes"] = lambda: lanes_of(self.services, subscription)
        return found


def routes(live: Live) -> list[web.RouteDef]:
    @operation("what changes, as server-sent events", query={"subscription": Text(required=False)})
    async def events(request: web.Request) -> web.StreamResponse:
        with live.streams.one():
            return await _stream(live, request, query_text(request, "subscription", ""))

    @operation(
        "the past of a series",
        query={"series": Text(), "window_s": Number(least=1, most=MAX_WINDOW_S)},
        answers=schemas.object_of({"series": schemas.TEXT, "samples": schemas.list_of({"type": "array"})}),
    )
    async def history(request: web.Request) -> web.Response:
        name, window_s = query_text(request, "series"), query_number(request, "window_s") or 1800
        held = live.history.samples(name, live.services.now_ms() - window_s * 1000)
        rows = [[None if math.isnan(each) else each for each in sample] for sample in held]
        return web.json_response({"series": name, "samples": rows})

    return [web.get("/events", events), web.get("/history", history)]


async def _stream(live: Live, request: web.Request, subscription: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    sent: dict[str, str] = {}
    session = request[SESSION]
    try:
        await response.prepare(request)
        while live.sessions.is_alive(session) and not is_gone(request):
            await response.write(_changes(live, subscription, sent).encode())
            await asyncio.sleep(live.every_s)
        await response.write_eof()
    except ConnectionResetError:
        pass
    return response


def _changes(live: Live, subscription: str, sent: dict[str, str]) -> str:
    """Events of what is not as it was `sent`; the tick comes each time, so that a page knows that it is live."""
    lines: list[str] = []
    for name, ask in live.parts(subscription).items():
        text = json.dumps(ask())
        if sent.get(name) != text:
            sent[name] = text
            lines.append(f"event: {name}\ndata: {text}\n\n")
    lines.append(f"event: tick\ndata: {live.services.now_ms()}\n\n")
    return "".join(lines)
