"""POST /v1/topics/{topic}/records: append records; answered when they are durable.

A. At most PUBLISHING bodies are held at once, whoever sends them: the others wait unread (rule H).
B. A client that leaves takes nothing back: what was begun becomes durable or not as if it had stayed.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.http.described import Formed, Number, Objects, Shape, operation
from gateway.http.errors import BodyRefused
from gateway.http.fields import Fields, fields_of, naming, one_of
from gateway.http.query import header_formed, query_number, query_text
from gateway.http.schemas import FLAG, WHOLE, list_of, object_of
from gateway.local.api import LocalApi
from gateway.local.http_positions import MAX_PARTITION
from gateway.local.http_problems import BODY_S, BodySlow
from gateway.local.http_records import RECORD, Encoding, new_record
from gateway.local.values import NewRecord, Published, PublishRequest

PUBLISHING = 8
IDEMPOTENCY_KEY = "Idempotency-Key"
KEY = Formed("[!-~]{1,200}", "order-4711", longest=200)
BODY: Shape = {"records": Objects(RECORD, required=True)}
PUBLISHED = object_of(
    {
        "placed": list_of(object_of({"partition": WHOLE, "first_offset": WHOLE, "count": WHOLE})),
        "repeated_request": FLAG,
    }
)


def routes(api: LocalApi) -> list[web.RouteDef]:
    bodies = asyncio.Semaphore(PUBLISHING)

    @operation(
        "append records; answered when they are durable",
        body=BODY,
        query={"partition": Number(most=MAX_PARTITION), "encoding": one_of(Encoding)},
        headers={IDEMPOTENCY_KEY: KEY},
        answers=PUBLISHED,
    )
    async def publish(request: web.Request) -> web.Response:
        async with bodies:
            asked = publish_request(request, await arrived(request))
            return web.json_response(shown(await api.publish(asked)))

    return [web.post("/v1/topics/{topic}/records", publish)]


async def arrived(request: web.Request) -> Fields:
    """The body, which may not be slow. Raises BodySlow, BodyRefused."""
    try:
        async with asyncio.timeout(BODY_S):
            return await fields_of(request)
    except TimeoutError as error:
        raise BodySlow(BODY_S) from error


def publish_request(request: web.Request, fields: Fields) -> PublishRequest:
    """Raises BodyRefused, QueryRefused."""
    return PublishRequest(
        request.match_info["topic"],
        new_records(fields, Encoding(query_text(request, "encoding", Encoding.BASE64))),
        query_number(request, "partition"),
        header_formed(request, IDEMPOTENCY_KEY),
    )


def new_records(fields: Fields, encoding: Encoding) -> list[NewRecord]:
    records = fields.objects("records")
    if not records:
        raise BodyRefused("records is empty")
    found = []
    for index, each in enumerate(records):
        with naming(f"records[{index}]"):
            found.append(new_record(each, encoding))
    return found


def shown(published: Published) -> dict[str, object]:
    placed = [
        {"partition": each.partition, "first_offset": each.first_offset, "count": each.count}
        for each in published.placed
    ]
    return {"placed": placed, "repeated_request": published.repeated_request}
