"""Grants: which peer may use which share, and why a request would be allowed or not.

GET  /v1/grants                                  {"grants": [grant]}
POST /v1/grants                                  {share, peer, start_ms?, end_ms?, groups?, onward?} -> grant
POST /v1/grants/{share}/{peer}/terms             {groups?, onward?, end_ms?} -> grant; end_ms null is never
POST /v1/grants/{share}/{peer}/revoke            grant
GET  /v1/grants/{share}/{peer}/explain?topic=&groups=    {allowed, reason, steps}

A grant is {id, share, peer, state, start_ms, end_ms, groups, onward, allowed, reason}, the last two as of now.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from aiohttp import web

from gateway.admin import answers
from gateway.http import schemas
from gateway.http.bodies import read_object
from gateway.http.described import Flag, Number, Shape, Text, asked_of, operation
from gateway.http.fields import Fields, fields_of, one_of
from gateway.services import Services
from mesh.cluster_errors import TopicAbsent
from mesh.ids import OrgId, ShareName, TopicName
from mesh.policy import Request
from mesh.shares import Grant, GroupAccess, Terms, Until

TERMS: Shape = {"groups": one_of(GroupAccess), "onward": Flag(), "end_ms": Number()}
NEW_GRANT: Shape = {"share": Text(), "peer": Text(), "start_ms": Number(), **TERMS}


def routes(services: Services) -> list[web.RouteDef]:
    registry = services.registry

    @operation("grant a share to a peer", body=NEW_GRANT, answers={201: answers.GRANT})
    async def create(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        share, peer = ShareName(fields.text("share")), OrgId(fields.text("peer"))
        grant = Grant(
            share,
            peer,
            fields.number("start_ms") or 0,
            fields.number("end_ms"),
            groups=fields.choice("groups", GroupAccess.NONE),
            onward=fields.flag("onward"),
        )
        return web.json_response(shown(services, await registry.create_grant(grant, services.now_ms())), status=201)

    @operation("the grants", answers=schemas.object_of({"grants": schemas.list_of(answers.GRANT)}))
    async def listing(request: web.Request) -> web.Response:
        return web.json_response({"grants": [shown(services, registry.grants[key]) for key in sorted(registry.grants)]})

    @operation("change the terms of a grant", body=TERMS, answers=answers.GRANT)
    async def set_terms(request: web.Request) -> web.Response:
        terms = parsed_terms(await read_object(request))
        share, peer = request.match_info["share"], request.match_info["peer"]
        return web.json_response(shown(services, await registry.set_terms(share, peer, terms, services.now_ms())))

    @operation("take a grant back", answers=answers.GRANT)
    async def revoke(request: web.Request) -> web.Response:
        grant = await registry.revoke_grant(request.match_info["share"], request.match_info["peer"])
        return web.json_response(shown(services, grant))

    @operation(
        "whether a request would be allowed, and why",
        query={"topic": Text(required=False), "groups": one_of(GroupAccess)},
        answers=answers.DECISION,
    )
    async def explain(request: web.Request) -> web.Response:
        share, peer = ShareName(request.match_info["share"]), OrgId(request.match_info["peer"])
        query = Fields(dict(request.query), asked_of(request).query)
        topic, groups = request.query.get("topic"), query.choice("groups", GroupAccess.NONE)
        asked = Request(peer, share, TopicName(topic) if topic is not None else None, groups=groups)
        if asked.topic is not None:
            with suppress(TopicAbsent):  # a topic that comes later belongs to a share, too
                asked = replace(asked, topic_id=(await services.cluster.topics.describe(asked.topic)).topic_id)
        decision = registry.decide(asked, services.now_ms())
        answer = {"request": str(asked), "allowed": decision.allowed, "reason": decision.reason}
        return web.json_response(answer | {"steps": list(decision.steps), "until_ms": decision.until_ms})

    return [
        web.get("/v1/grants", listing),
        web.post("/v1/grants", create),
        web.post("/v1/grants/{share}/{peer}/terms", set_terms),
        web.post("/v1/grants/{share}/{peer}/revoke", revoke),
        web.get("/v1/grants/{share}/{peer}/explain", explain),
    ]


def parsed_terms(body: Mapping[str, Any]) -> Terms:
    """What is not in the body stays as it is. Raises BodyRefused."""
    fields = Fields(body, TERMS)
    return Terms(
        groups=fields.choice("groups", GroupAccess.NONE) if "groups" in fields else None,
        onward=fields.flag("onward") if "onward" in fields else None,
        until=Until(fields.number("end_ms")) if "end_ms" in body else None,
    )


def shown(services: Services, grant: Grant) -> dict[str, object]:
    decision = services.registry.decide(Request(grant.peer, grant.share), services.now_ms())
    return {
        "id": grant.id,
        "share": grant.share,
        "peer": grant.peer,
        "state": grant.state,
        "start_ms": grant.start_ms,
        "end_ms": grant.end_ms,
        "groups": grant.groups,
        "onward": grant.onward,
        "allowed": decision.allowed,
        "reason": decision.reason,
    }
