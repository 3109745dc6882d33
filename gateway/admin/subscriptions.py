"""Subscriptions: our use of peers' shares, their lanes and their gaps.

GET    /v1/subscriptions                 {"subscriptions": [subscription]}
POST   /v1/subscriptions                 {peer, share, topics, start?, name?, on_foreign_write?, on_loss?,
                                          on_timestamp?, follow_config?, groups?}
GET    /v1/subscriptions/{name}          subscription with its lanes
POST   /v1/subscriptions/{name}/pause    subscription; also /resume
POST   /v1/subscriptions/{name}/promote  subscription with its lanes as they ended: the mirror becomes a normal topic
DELETE /v1/subscriptions/{name}          the lanes' state goes with it, the destination topics stay
GET    /v1/subscriptions/{name}/gaps     {"gaps": [gap]}: the ledger

POST   /v1/subscriptions/plan            the same body and rate_bytes_per_s?: what it would do (`gateway.planning`)
POST   /v1/subscriptions/{name}/policies {on_foreign_write?, on_loss?, on_timestamp?, follow_config?, groups?}

Topics are {source, destination} pairs, or pairs of patterns with one `*` each; without `topics` it is all of
them. A gap is {topic, partition, source_offset, next_source_offset, offsets, reason}.
What the source has lost also has `kind` (trimmed, truncated, recreated), `noticed_ms`, and unless trimmed where its
copies are: `destination_offset`, `next_destination_offset`, `unmapped`, `topic_id`, `incarnation`; `pending` where the
lane has stopped for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from aiohttp import web

from gateway.admin import answers
from gateway.gaps import gaps_of
from gateway.http import schemas
from gateway.http.bodies import read_object
from gateway.http.described import Flag, Number, Objects, Shape, Text, Texts, operation
from gateway.http.fields import Fields, fields_of, one_of
from gateway.importer.following import topics_named
from gateway.offers import differences, offered_share
from gateway.planning import plan
from gateway.planning import shown as shown_plan
from gateway.promoting import shown as shown_promoted
from gateway.services import Services
from gateway.subscribing import subscribe
from mesh.errors import MeshError, OperatorError
from mesh.ids import GroupName, OrgId, ShareName, SubscriptionName, TopicName
from mesh.lanes.losses import LostRange
from mesh.lanes.status import LaneStatus
from mesh.lanes.warnings import warnings
from mesh.patterns import PatternMapping, is_pattern
from mesh.shares import (
    OnForeignWrite,
    OnLoss,
    OnTimestamp,
    Policies,
    StartAt,
    Subscription,
    SubscriptionState,
    TopicMapping,
)

MAX_GAPS = 100_000
"""Gaps in one answer: a transactional source has one per transaction."""


POLICIES: Shape = {
    "on_foreign_write": one_of(OnForeignWrite),
    "on_loss": one_of(OnLoss),
    "on_timestamp": one_of(OnTimestamp),
    "follow_config": Flag(),
    "groups": Texts(),
}
TOPIC: Shape = {"source": Text(), "destination": Text(required=False)}
NEW_SUBSCRIPTION: Shape = {
    "peer": Text(),
    "share": Text(),
    "topics": Objects(TOPIC),
    "start": Text(required=False),
    "name": Text(required=False),
    **POLICIES,
}


@dataclass(eq=False)
class LanesStillRunning(OperatorError):
    subscription: str

    code: ClassVar[str] = "lanes-still-running"
    sentence: ClassVar[str] = "subscription '{subscription}' is paused, but its lanes have not stopped yet"
    hint: ClassVar[str] = "delete it again in a moment; if that persists, see: mesh subscription show {subscription}"
    retriable: ClassVar[bool] = True


def routes(services: Services) -> list[web.RouteDef]:
    return [*_sight_routes(services), *_wish_routes(services), *_life_routes(services)]


def _wish_routes(services: Services) -> list[web.RouteDef]:
    """What shall be mirrored, and how."""
    registry = services.registry

    @operation(
        "subscribe to a share of a peer",
        body=NEW_SUBSCRIPTION,
        answers={201: schemas.with_fields(answers.SUBSCRIPTION, created_topics=schemas.list_of(schemas.TEXT))},
    )
    async def create(request: web.Request) -> web.Response:
        made, topics = await subscribe(services, wanted(await fields_of(request)))
        return web.json_response(shown(services, made) | {"created_topics": topics}, status=201)

    @operation(
        "what subscribing would do", body={**NEW_SUBSCRIPTION, "rate_bytes_per_s": Number()}, answers=schemas.REPORT
    )
    async def planned(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        return web.json_response(shown_plan(await plan(services, wanted(fields), fields.number("rate_bytes_per_s"))))

    @operation("change the policies of a subscription", body=POLICIES, answers=answers.SUBSCRIPTION)
    async def set_policies(request: web.Request) -> web.Response:
        policies = parsed_policies(await read_object(request))
        return web.json_response(shown(services, await registry.set_policies(request.match_info["name"], policies)))

    return [
        web.post("/v1/subscriptions", create),
        web.post("/v1/subscriptions/plan", planned),
        web.post("/v1/subscriptions/{name}/policies", set_policies),
    ]


def _life_routes(services: Services) -> list[web.RouteDef]:
    """From its first lane to its end."""
    registry = services.registry

    @operation("stop the lanes of a subscription", answers=answers.SUBSCRIPTION)
    async def pause(request: web.Request) -> web.Response:
        return web.json_response(shown(services, await registry.pause_subscription(request.match_info["name"])))

    @operation("go on with a paused subscription", answers=answers.SUBSCRIPTION)
    async def resume(request: web.Request) -> web.Response:
        return web.json_response(shown(services, await registry.resume_subscription(request.match_info["name"])))

    @operation(
        "end a subscription; its topics stay",
        answers=schemas.object_of({"deleted": schemas.TEXT, "kept_topics": schemas.list_of(schemas.TEXT)}),
    )
    async def delete(request: web.Request) -> web.Response:
        found = registry.subscription(request.match_info["name"])
        if found.state is not SubscriptionState.PROMOTED:
            found = await registry.pause_subscription(found.name)
        # A lane that still runs would store its progress again after it was removed.
        try:
            async with asyncio.timeout(services.config.timing.drain_timeout_s):
                await services.lanes.stopped(found.name)
        except TimeoutError as error:
            raise LanesStillRunning(found.name) from error
        await registry.delete_subscription(found.name)
        kept = [mapping.destination_topic for mapping in found.topics]
        return web.json_response({"deleted": found.name, "kept_topics": kept})

    @operation(
        "make the mirror a normal topic",
        answers=schemas.with_fields(answers.SUBSCRIPTION, lanes=schemas.list_of(schemas.REPORT)),
    )
    async def promote(request: web.Request) -> web.Response:
        lanes = await services.promoter.promote(request.match_info["name"])
        found = registry.subscription(request.match_info["name"])
        return web.json_response(shown(services, found) | {"lanes": [shown_promoted(lane) for lane in lanes]})

    return [
        web.post("/v1/subscriptions/{name}/pause", pause),
        web.post("/v1/subscriptions/{name}/resume", resume),
        web.post("/v1/subscriptions/{name}/promote", promote),
        web.delete("/v1/subscriptions/{name}", delete),
    ]


def _sight_routes(services: Services) -> list[web.RouteDef]:
    registry = services.registry

    @operation("the subscriptions", answers=schemas.object_of({"subscriptions": schemas.list_of(answers.SUBSCRIPTION)}))
    async def listing(request: web.Request) -> web.Response:
        found = [registry.subscriptions[name] for name in sorted(registry.subscriptions)]
        return web.json_response({"subscriptions": [shown(services, each) for each in found]})

    @operation(
        "a subscription and its lanes",
        answers=schemas.with_fields(
            answers.SUBSCRIPTION,
            lanes=schemas.list_of(schemas.REPORT),
            warnings=schemas.list_of(schemas.REPORT),
            differences=schemas.null_or(schemas.list_of(schemas.REPORT)),
        ),
    )
    async def show(request: web.Request) -> web.Response:
        found = registry.subscription(request.match_info["name"])
        statuses = lanes(services, found)
        told: dict[str, object] = {"warnings": [asdict(warning) for warning in warnings(statuses)]}
        told["differences"] = await differences_of(services, found)
        return web.json_response(shown(services, found) | {"lanes": [shown_lane(s) for s in statuses]} | told)

    @operation("offsets without a copy, with the reason", answers=answers.GAPS)
    async def gaps(request: web.Request) -> web.Response:
        found = registry.subscription(request.match_info["name"])
        listed = await gaps_of(services, found, MAX_GAPS)
        truncated = len(listed) > MAX_GAPS
        return web.json_response({"subscription": found.name, "gaps": listed[:MAX_GAPS], "truncated": truncated})

    return [
        web.get("/v1/subscriptions", listing),
        web.get("/v1/subscriptions/{name}", show),
        web.get("/v1/subscriptions/{name}/gaps", gaps),
    ]


def parsed(body: dict[str, Any]) -> Subscription:
    """The subscription that a request asks for. Raises BodyRefused, IllegalName, IllegalStart."""
    return wanted(Fields(body, NEW_SUBSCRIPTION))


def wanted(fields: Fields) -> Subscription:
    """Raises BodyRefused, IllegalName, IllegalStart, IllegalPattern."""
    share = ShareName(fields.text("share"))
    # Without any word of topics it is all of them, under their own names.
    asked = fields.objects("topics") if "topics" in fields else (Fields({"source": "*"}, TOPIC),)
    return Subscription(
        SubscriptionName(fields.text("name", share)),
        OrgId(fields.text("peer")),
        share,
        tuple(_mapping(each) for each in asked if not _is_pattern(each)),
        StartAt.parse(fields.text("start", "earliest")),
        on_foreign_write=fields.choice("on_foreign_write", OnForeignWrite.STOP),
        on_loss=fields.choice("on_loss", OnLoss.STOP),
        on_timestamp=fields.choice("on_timestamp", OnTimestamp.STOP),
        follow_config=fields.flag("follow_config"),
        groups=tuple(map(GroupName, fields.texts("groups"))),
        patterns=tuple(_pattern(each) for each in asked if _is_pattern(each)),
    )


def parsed_policies(body: dict[str, Any]) -> Policies:
    """What a request changes of a subscription. Raises BodyRefused."""
    given = fields = Fields(body, POLICIES)
    return Policies(
        fields.choice("on_foreign_write", OnForeignWrite.STOP) if "on_foreign_write" in given else None,
        fields.choice("on_loss", OnLoss.STOP) if "on_loss" in given else None,
        fields.choice("on_timestamp", OnTimestamp.STOP) if "on_timestamp" in given else None,
        fields.flag("follow_config") if "follow_config" in given else None,
        tuple(map(GroupName, fields.texts("groups"))) if "groups" in given else None,
    )


def _is_pattern(fields: Fields) -> bool:
    return is_pattern(fields.text("source"))


def _pattern(fields: Fields) -> PatternMapping:
    source = fields.text("source")
    return PatternMapping.parsed(source, fields.text("destination", source))


async def differences_of(services: Services, subscription: Subscription) -> list[dict[str, object]] | None:
    """Settings of the destination topics that are not as at the source; None while the provider cannot be asked."""
    try:
        share = offered_share(await services.links.catalog(subscription.peer), subscription)
    except MeshError:
        return None
    offered = {topic.name: topic for topic in share.topics}
    names = {mapping.destination_topic for mapping in subscription.topics}
    copies = await topics_named(services.cluster.topics, names)
    return [
        {"topic": mapping.destination_topic, **each._asdict()}
        for mapping in subscription.topics
        if mapping.source_topic in offered and mapping.destination_topic in copies
        for each in differences(offered[mapping.source_topic].config, copies[mapping.destination_topic])
    ]


def _mapping(fields: Fields) -> TopicMapping:
    source = TopicName(fields.text("source"))
    return TopicMapping(source, TopicName(fields.text("destination", source)))


def lanes(services: Services, subscription: Subscription) -> list[LaneStatus]:
    found = [each for each in services.lanes.statuses() if each.lane.subscription == subscription.name]
    return sorted(found, key=lambda each: each.lane)


def shown(services: Services, subscription: Subscription) -> dict[str, object]:
    statuses = lanes(services, subscription)
    known = [status.lag_records for status in statuses if status.lag_records is not None]
    return {
        "name": subscription.name,
        "peer": subscription.peer,
        "share": subscription.share,
        "topics": [{"source": m.source_topic, "destination": m.destination_topic} for m in subscription.topics],
        "patterns": [{"source": p.source_pattern, "destination": p.destination_pattern} for p in subscription.patterns],
        "start": str(subscription.start),
        "state": subscription.state,
        "on_foreign_write": subscription.on_foreign_write,
        "on_loss": subscription.on_loss,
        "on_timestamp": subscription.on_timestamp,
        "follow_config": subscription.follow_config,
        "groups": list(subscription.groups),
        "lane_states": dict(sorted(Counter(str(status.state) for status in statuses).items())),
        "lag_records": sum(known) if known else None,
    }


def shown_lost(lost: LostRange | None) -> dict[str, object] | None:
    """What the source has lost of a lane that has stopped for it."""
    if lost is None:
        return None
    return {
        "kind": str(lost.kind),
        "source_offset": lost.source_offset,
        "next_source_offset": lost.next_source_offset,
    }


def shown_lane(status: LaneStatus) -> dict[str, object]:
    return {
        "topic": status.lane.topic,
        "partition": status.lane.partition,
        "destination_topic": status.destination_topic,
        "state": status.state,
        "gateway": status.gateway,
        "code": status.code,
        "reason": status.reason,
        "remedy": status.remedy,
        "source_position": status.source_position,
        "source_end": status.source_end,
        "destination_end": status.destination_end,
        "records": status.records,
        "lag_records": status.lag_records,
        "lag_s": status.lag_s,
        "gaps": status.gaps,
        "foreign_writes": status.foreign_writes,
        "lost": shown_lost(status.lost),
        "stalled_records": status.stalled_records,
        "stalled_s": status.stalled_s,
        "retention_s": status.retention_s,
        "source_heard_s": status.source_heard_s,
    }
