"""What partners share, what is subscribed of it, and how offsets translate.

GET  /v1/topics                                  the own cluster's
GET  /v1/catalog?peer=
GET  /v1/subscriptions
POST /v1/subscriptions                           {peer, share, topics: {theirs: ours}, start, name}
GET  /v1/subscriptions/{name}/translate?topic=&partition=&source_offset= (or destination_offset=)
"""

from __future__ import annotations

from aiohttp import web

from gateway.http.described import Number, Shape, Text, TextMap, operation
from gateway.http.errors import BodyRefused
from gateway.http.fields import fields_of
from gateway.http.query import query_number, query_text
from gateway.http.schemas import TEXT, TEXT_MAP, WHOLE, list_of, null_or, object_of
from gateway.local.api import LocalApi
from gateway.local.http_positions import MAX_OFFSET, MAX_PARTITION
from gateway.local.http_problems import PROBLEM, problem
from gateway.local.values import LocalSubscription, LocalTopic, Translation

TOPIC = object_of({"name": TEXT, "partitions": WHOLE, "topic_id": TEXT, "mirrored_by": null_or(TEXT)})
SHARED = object_of({"peer": TEXT, "share": TEXT, "topic": TEXT, "partitions": WHOLE})
CATALOG = object_of(
    {"topics": list_of(SHARED), "unasked": list_of(object_of({"peer": TEXT, "problem": PROBLEM}))},
)
SUBSCRIPTION = object_of({"name": TEXT, "peer": TEXT, "share": TEXT, "state": TEXT, "topics": TEXT_MAP})
NEW_SUBSCRIPTION: Shape = {
    "peer": Text(),
    "share": Text(),
    "topics": TextMap(),
    "start": Text(required=False),
    "name": Text(required=False),
}
TRANSLATION = object_of(
    {
        "kind": TEXT,
        "source_offset": null_or(WHOLE),
        "destination_offset": null_or(WHOLE),
        "reason": TEXT,
    }
)


def routes(api: LocalApi) -> list[web.RouteDef]:
    return [*_catalog_routes(api), *_subscription_routes(api)]


def _catalog_routes(api: LocalApi) -> list[web.RouteDef]:
    @operation("the topics of the own cluster", answers=object_of({"topics": list_of(TOPIC)}))
    async def topics(request: web.Request) -> web.Response:
        return web.json_response({"topics": [shown_topic(each) for each in await api.topics()]})

    @operation("what partners share with us", query={"peer": Text(required=False)}, answers=CATALOG)
    async def catalog(request: web.Request) -> web.Response:
        found = await api.catalog(query_text(request, "peer", ""))
        return web.json_response(
            {
                "topics": [each._asdict() for each in found.topics],
                "unasked": [{"peer": each.peer, "problem": problem(each.error)} for each in found.unasked],
            }
        )

    return [web.get("/v1/topics", topics), web.get("/v1/catalog", catalog)]


def _subscription_routes(api: LocalApi) -> list[web.RouteDef]:
    @operation("the subscriptions", answers=object_of({"subscriptions": list_of(SUBSCRIPTION)}))
    async def listing(request: web.Request) -> web.Response:
        return web.json_response({"subscriptions": [shown_subscription(each) for each in api.subscriptions()]})

    @operation("subscribe to a share of a partner", body=NEW_SUBSCRIPTION, answers={201: SUBSCRIPTION})
    async def create(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        made = await api.subscribe(
            fields.text("peer"),
            fields.text("share"),
            fields.text_map("topics"),
            start=fields.text("start"),
            name=fields.text("name"),
        )
        return web.json_response(shown_subscription(made), status=201)

    @operation(
        "the copy of a source offset, or the source of a copy",
        query={
            "topic": Text(),
            "partition": Number(required=True, most=MAX_PARTITION),
            "source_offset": Number(most=MAX_OFFSET),
            "destination_offset": Number(most=MAX_OFFSET),
        },
        answers=TRANSLATION,
    )
    async def translate(request: web.Request) -> web.Response:
        partition = query_number(request, "partition")
        if partition is None:
            raise BodyRefused("the query must have partition")
        found = await api.translate(
            request.match_info["name"],
            query_text(request, "topic"),
            partition,
            source_offset=query_number(request, "source_offset"),
            destination_offset=query_number(request, "destination_offset"),
        )
        return web.json_response(shown_translation(found))

    return [
        web.get("/v1/subscriptions", listing),
        web.post("/v1/subscriptions", create),
        web.get("/v1/subscriptions/{name}/translate", translate),
    ]


def shown_topic(topic: LocalTopic) -> dict[str, object]:
    return {
        "name": topic.name,
        "partitions": topic.partitions,
        "topic_id": topic.topic_id,
        "mirrored_by": topic.mirrored_by or None,
    }


def shown_subscription(subscription: LocalSubscription) -> dict[str, object]:
    return {
        "name": subscription.name,
        "peer": subscription.peer,
        "share": subscription.share,
        "state": subscription.state,
        "topics": dict(subscription.topics),
    }


def shown_translation(translation: Translation) -> dict[str, object]:
    return {
        "kind": translation.kind,
        "source_offset": translation.source_offset,
        "destination_offset": translation.destination_offset,
        "reason": translation.reason,
    }
