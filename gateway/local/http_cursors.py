"""Cursors: where an application stands in a topic, kept by its name.

GET    /v1/cursors/{cursor}/topics/{topic}
POST   /v1/cursors/{cursor}/topics/{topic}/commit    {positions: [{partition, offset}], lease}
DELETE /v1/cursors/{cursor}/topics/{topic}
"""

from __future__ import annotations

from aiohttp import web

from gateway.http.described import Formed, operation
from gateway.http.fields import fields_of
from gateway.http.schemas import FLAG, TEXT, object_of
from gateway.local import http_positions as positions_json
from gateway.local.api import LocalApi
from gateway.local.http_positions import POSITIONS, SHOWN_POSITIONS
from gateway.local.values import Cursor

PATH = "/v1/cursors/{cursor}/topics/{topic}"
LEASE = Formed("[!-~]{0,100}", "w2kGkK7pWqSeGZy1mUu0bA", longest=100)
CURSOR = object_of({"name": TEXT, "topic": TEXT, "positions": SHOWN_POSITIONS, "is_read": FLAG})


def routes(api: LocalApi) -> list[web.RouteDef]:
    @operation("where a cursor stands", answers=CURSOR)
    async def show(request: web.Request) -> web.Response:
        return web.json_response(shown(await api.cursor(*_named(request))))

    @operation(
        "say that everything before the positions is done with",
        body={"positions": POSITIONS, "lease": LEASE},
        answers=object_of({"committed": SHOWN_POSITIONS}),
    )
    async def commit(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        positions = positions_json.given(fields)
        await api.commit(*_named(request), positions, fields.text("lease"))
        return web.json_response({"committed": positions_json.shown(positions)})

    @operation("forget a cursor's positions in a topic", answers=object_of({"deleted": TEXT}))
    async def delete(request: web.Request) -> web.Response:
        cursor, topic = _named(request)
        await api.delete_cursor(cursor, topic)
        return web.json_response({"deleted": cursor})

    return [web.get(PATH, show), web.post(f"{PATH}/commit", commit), web.delete(PATH, delete)]


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["cursor"], request.match_info["topic"]


def shown(cursor: Cursor) -> dict[str, object]:
    return {
        "name": cursor.name,
        "topic": cursor.topic,
        "positions": positions_json.shown(cursor.positions),
        "is_read": cursor.is_read,
    }
