"""Offset translation.

GET /v1/subscriptions/{name}/offsets?topic=&partition=&offset=[&reverse=true]
GET /v1/subscriptions/{name}/offsets?topic=&partition=&timestamp=     of the first record at or after it

Both answer {subscription, topic, partition, answer, source_offset, destination_offset}. `answer` is exact, gap (with
`reason`; `destination_offset` is the copy of the first record after it, null where there is none yet) or foreign
(`source_offset` is that of the lane's next record).
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin.errors import BodyRefused
from gateway.admin.fields import MAX_NUMBER
from gateway.services import Services
from gateway.translating import at_timestamp, place_of


def routes(services: Services) -> list[web.RouteDef]:
    async def translate(request: web.Request) -> web.Response:
        subscription = services.registry.subscription(request.match_info["name"])
        partition = number(request, "partition")
        offset, timestamp_ms = number(request, "offset"), number(request, "timestamp")
        if partition is None or "topic" not in request.query or (offset is None) == (timestamp_ms is None):
            raise BodyRefused("the query must have topic, partition and one of offset and timestamp")
        place = await place_of(services, subscription, request.query["topic"], partition)
        if timestamp_ms is not None:
            answer = await at_timestamp(services, subscription, place, timestamp_ms)
        else:
            assert offset is not None
            reverse = request.query.get("reverse") == "true"
            answer = place.back(offset) if reverse else place.forward(offset)
        lane = {"subscription": subscription.name, "topic": place.lane.topic, "partition": partition}
        return web.json_response(lane | answer)

    return [web.get("/v1/subscriptions/{name}/offsets", translate)]


def number(request: web.Request, name: str) -> int | None:
    """A whole number of the query, None where it is not given. Raises BodyRefused."""
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < MAX_NUMBER):
        raise BodyRefused(f"{name} must be a whole number from 0 to {MAX_NUMBER - 1}")
    return int(text)
