"""Offset translation.

GET /v1/subscriptions/{name}/offsets?topic=&partition=&offset=[&reverse=true]
GET /v1/subscriptions/{name}/offsets?topic=&partition=&offset=&count=[&reverse=true]     {answers}, of one each
GET /v1/subscriptions/{name}/offsets?topic=&partition=&timestamp=     of the first record at or after it

Both answer {subscription, topic, partition, answer, source_offset, destination_offset}. `answer` is exact, gap (with
`reason`; `destination_offset` is the copy of the first record after it, null where there is none yet), foreign or
lost (the source has lost the record since it was copied); of these two `source_offset` is that of the lane's next
record. With `count` there is one answer for each of that many offsets from
`offset` on, fewer where the map ends before.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.admin import answers
from gateway.http.described import Flag, Number, Text, operation
from gateway.http.errors import BodyRefused
from gateway.http.query import query_flag, query_number, query_text
from gateway.services import Services
from gateway.translating import Place, at_timestamp, place_of

MAX_COUNT: Final = 10_000
"""Answers to one request: a megabyte of JSON, some 30 ms of the gateway's time."""


def routes(services: Services) -> list[web.RouteDef]:
    @operation(
        "the answer of the offset map for an offset, a stretch of offsets, or a time",
        query={
            "topic": Text(),
            "partition": Number(required=True),
            "offset": Number(),
            "timestamp": Number(),
            "count": Number(least=1, most=MAX_COUNT),
            "reverse": Flag(),
        },
        answers=answers.TRANSLATION,
    )
    async def translate(request: web.Request) -> web.Response:
        subscription = services.registry.subscription(request.match_info["name"])
        partition = query_number(request, "partition")
        offset, timestamp_ms = query_number(request, "offset"), query_number(request, "timestamp")
        if partition is None or "topic" not in request.query or (offset is None) == (timestamp_ms is None):
            raise BodyRefused("the query must have topic, partition and one of offset and timestamp")
        place = await place_of(services, subscription, query_text(request, "topic"), partition)
        if timestamp_ms is not None:
            answer = await at_timestamp(services, subscription, place, timestamp_ms)
        else:
            assert offset is not None
            count, reverse = query_number(request, "count"), query_flag(request, "reverse")
            if count is not None:
                return web.json_response({"answers": stretch(place, offset, count, reverse=reverse)})
            answer = place.back(offset) if reverse else place.forward(offset)
        lane = {"subscription": subscription.name, "topic": place.lane.topic, "partition": partition}
        return web.json_response(lane | answer)

    return [web.get("/v1/subscriptions/{name}/offsets", translate)]


def stretch(place: Place, offset: int, count: int, *, reverse: bool) -> list[dict[str, object]]:
    """The answers for `count` offsets from `offset` on, up to the end of the map. Raises OffsetNotMapped where the
    first has none, BodyRefused, IllegalOffset."""
    if not 1 <= count <= MAX_COUNT:
        raise BodyRefused(f"count must be a whole number from 1 to {MAX_COUNT}")
    ask, held = (place.back if reverse else place.forward), place.offset_map
    end = held.destination_offset if reverse else held.position
    return [ask(offset), *(ask(each) for each in range(offset + 1, min(offset + count, end)))]
