"""POST /v1/topics/{topic}/records: append records; answered when they are durable.

A. Bodies hold BODIES_BYTES at once, whoever sends them: the others wait unread, in line (rule H).
B. A client that leaves takes nothing back: what was begun becomes durable or not as if it had stayed.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.http.api import api_of
from gateway.http.described import Formed, Number, Objects, Shape, operation
from gateway.http.fields import Fields, fields_of, naming, one_of
from gateway.http.query import header_formed, query_number, query_text
from gateway.http.schemas import FLAG, WHOLE, list_of, object_of
from gateway.local.api import LocalApi
from gateway.local.http_positions import MAX_PARTITION
from gateway.local.http_records import RECORD, Encoding, new_record
from gateway.local.room import take_until
from gateway.local.values import NewRecord, Published, PublishRequest
from mesh.local.room import Room

BODIES_BYTES = 64 << 20
"""The text of requests that are not answered yet; their records are counted beside it (`local.waiting_bytes`)."""
WAIT_S = 30.0
"""For a turn of a body that has to wait."""
MAX_RECORDS = 10_000
"""In one request: each costs far more than its text, and nobody else is served while they are looked at."""
IDEMPOTENCY_KEY = "Idempotency-Key"
KEY = Formed("[!-~]{1,200}", "order-4711", longest=200)
BODY: Shape = {"records": Objects(RECORD, required=True, most=MAX_RECORDS)}
PUBLISHED = object_of(
    {
        "placed": list_of(object_of({"partition": WHOLE, "first_offset": WHOLE, "count": WHOLE})),
        "repeated_request": FLAG,
    }
)


def routes(api: LocalApi) -> list[web.RouteDef]:
    bodies = Room(BODIES_BYTES)

    @operation(
        "append records; answered when they are durable",
        body=BODY,
        query={"partition": Number(most=MAX_PARTITION), "encoding": one_of(Encoding)},
        headers={IDEMPOTENCY_KEY: KEY},
        answers=PUBLISHED,
    )
    async def publish(request: web.Request) -> web.Response:
        topic, size_bytes = request.match_info["topic"], body_bytes(request)
        await take_until(bodies, topic, size_bytes, asyncio.get_running_loop().time() + WAIT_S)
        try:
            return web.json_response(
                shown(await api.publish(publish_request(request, topic, await fields_of(request))))
            )
        finally:
            bodies.give(size_bytes)

    return [web.post("/v1/topics/{topic}/records", publish)]


def body_bytes(request: web.Request) -> int:
    """What the body may have; the most there may be where the request does not say."""
    most = api_of(request).max_body_bytes
    return min(most if request.content_length is None else request.content_length, most, BODIES_BYTES)


def publish_request(request: web.Request, topic: str, fields: Fields) -> PublishRequest:
    """Raises BodyRefused, QueryRefused."""
    return PublishRequest(
        topic,
        new_records(fields, Encoding(query_text(request, "encoding", Encoding.BASE64))),
        query_number(request, "partition"),
        header_formed(request, IDEMPOTENCY_KEY),
    )


def new_records(fields: Fields, encoding: Encoding) -> list[NewRecord]:
    found = []
    for index, each in enumerate(fields.objects("records")):
        with naming(f"records[{index}]"):
            found.append(new_record(each, encoding))
    return found


def shown(published: Published) -> dict[str, object]:
    placed = [
        {"partition": each.partition, "first_offset": each.first_offset, "count": each.count}
        for each in published.placed
    ]
    return {"placed": placed, "repeated_request": published.repeated_request}
