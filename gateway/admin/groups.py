"""Consumer groups: where they stand, where that is on the other side, and moving them.

GET  /v1/groups                              {"groups": [{group, state}]}: those of our cluster
GET  /v1/groups?peer=ORG                     {"groups": [{group, subscription, state, topics, partitions}]}
GET  /v1/groups/show?group=                  {group, state, members, positions}: of ours, with end and lag_records
GET  /v1/groups/status                       {"groups": [synced]}: what is kept in step
GET  /v1/subscriptions/{name}/groups?group=&reverse=&as=&wait_s=     move
POST /v1/subscriptions/{name}/groups         {group, reverse?, as?, backward?, wait_s?}: move with `changed`, written
GET  /v1/subscriptions/{name}/groups/rehearsal?group=&limit=         newline-delimited: begin, partition …, result

A move is {subscription, direction, group, target, has_members, target_has_members, unanswered, positions}; a position
{topic, partition, destination_topic, answer, reason, source_position, destination_position, lag_records, present}.
Groups are named in queries, not in paths: their names may hold any character.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from gateway.admin import answers
from gateway.groups.errors import GroupAbsent
from gateway.groups.moving import Direction, Move, MovedPosition, commit, find
from gateway.groups.rehearsal import Rehearsed, rehearse
from gateway.groups.syncing import SyncStatus
from gateway.http import schemas
from gateway.http.described import Flag, Number, Shape, Text, operation
from gateway.http.fields import fields_of
from gateway.http.ndjson import respond_lines
from gateway.http.query import query_flag, query_number, query_text
from gateway.peers.errors import PeerRefusedRequest
from gateway.ranges import ranges_of
from gateway.services import Services
from mesh.groups import Group, GroupState, PeerGroup
from mesh.ids import GroupName
from mesh.shares import Subscription

MAX_SHOWN = 100
"""Records of a rehearsal shown of each partition."""
MAX_WAIT_S = 10
"""Of one request; whoever wants to wait longer asks again."""
MOVED: Shape = {"group": Text(), "reverse": Flag(), "as": Text(required=False), "wait_s": Number()}


def routes(services: Services) -> list[web.RouteDef]:
    return [*_group_routes(services), *_move_routes(services)]


def _group_routes(services: Services) -> list[web.RouteDef]:
    @operation(
        "the consumer groups of our cluster, or of a peer on its topics",
        query={"peer": Text(required=False)},
        answers=schemas.object_of({"groups": schemas.list_of(answers.GROUP)}),
    )
    async def listing(request: web.Request) -> web.Response:
        if "peer" in request.query:
            return web.json_response({"groups": await groups_of_peer(services, request.query["peer"])})
        found = [{"group": each.name, "state": each.state} for each in await services.cluster.groups.list()]
        return web.json_response({"groups": found})

    @operation("where a group of ours stands", query={"group": Text()}, answers=answers.GROUP_SHOWN)
    async def show(request: web.Request) -> web.Response:
        return web.json_response(await described(services, GroupName(query_text(request, "group"))))

    @operation(
        "the groups that are kept in step", answers=schemas.object_of({"groups": schemas.list_of(schemas.REPORT)})
    )
    async def status(request: web.Request) -> web.Response:
        return web.json_response({"groups": [shown_sync(each) for each in services.groups.statuses()]})

    return [
        web.get("/v1/groups", listing),
        web.get("/v1/groups/show", show),
        web.get("/v1/groups/status", status),
    ]


def _move_routes(services: Services) -> list[web.RouteDef]:
    @operation("where a group would stand on the other side", query=MOVED, answers=answers.MOVE)
    async def translate(request: web.Request) -> web.Response:
        move = await wanted_move(
            services,
            request.match_info["name"],
            query_text(request, "group"),
            query_text(request, "as", ""),
            is_reverse=query_flag(request, "reverse"),
            wait_s=query_number(request, "wait_s") or 0,
        )
        return web.json_response(shown_move(move))

    @operation(
        "set a group on the other side to where it stands here",
        body={**MOVED, "backward": Flag()},
        answers=schemas.with_fields(answers.MOVE, changed=schemas.WHOLE),
    )
    async def write(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        move = await wanted_move(
            services,
            request.match_info["name"],
            fields.text("group"),
            fields.text("as", ""),
            is_reverse=fields.flag("reverse"),
            wait_s=fields.number("wait_s") or 0,
        )
        changed = await commit(services, services.groups.writer, move, backward=fields.flag("backward"))
        return web.json_response(shown_move(move) | {"changed": changed})

    @operation(
        "what a group would read after moving; nothing is changed",
        query={"group": Text(), "limit": Number(most=MAX_SHOWN)},
        answers=schemas.REPORT,
        streams=True,
    )
    async def rehearsal(request: web.Request) -> web.StreamResponse:
        limit = query_number(request, "limit")
        name, group = request.match_info["name"], query_text(request, "group")
        return await respond_lines(request, _rehearsed(services, name, group, limit))

    return [
        web.get("/v1/subscriptions/{name}/groups", translate),
        web.post("/v1/subscriptions/{name}/groups", write),
        web.get("/v1/subscriptions/{name}/groups/rehearsal", rehearsal),
    ]


async def wanted_move(services: Services, name: str, group: str, target: str, *, is_reverse: bool, wait_s: int) -> Move:
    """Raises SubscriptionAbsent, IllegalName, GroupAbsent and what asking the peer raises."""
    subscription = services.registry.subscription(name)
    direction = Direction.REVERSE if is_reverse else Direction.FORWARD
    names = GroupName(group), GroupName(target or group)
    return await find(services, subscription, direction, *names, min(wait_s, MAX_WAIT_S))


async def _rehearsed(
    services: Services, name: str, group: str, limit: int | None
) -> AsyncIterator[Mapping[str, object]]:
    move = await wanted_move(services, name, group, "", is_reverse=False, wait_s=0)
    yield {"event": "begin", **shown_move(move)}
    found = []
    async for each in rehearse(services, move, 5 if limit is None else limit):
        found.append(each)
        yield {"event": "partition", **shown_rehearsed(each)}
    left = (sum(each.source_left for each in found), sum(each.destination_left for each in found))
    is_equal = all(each.is_equal for each in found)
    answered = not move.unanswered
    yield {
        "event": "result",
        "equal": is_equal and answered,
        "whole": all(each.is_whole for each in found),
        "source_left": left[0],
        "destination_left": left[1],
        "unanswered": len(move.unanswered),
    }


async def groups_of_peer(services: Services, peer: str) -> list[dict[str, object]]:
    """The groups that the peer lets us see, by subscription; of a share without that right, none.

    Raises PeerAbsent, what asking it raises, and PeerRefusedRequest where it lets us see those of no share.
    """
    org = services.registry.peer(peer).org
    found: list[dict[str, object]] = []
    refusals: list[PeerRefusedRequest] = []
    subscriptions = [each for each in services.registry.subscriptions.values() if each.peer == org and each.topics]
    for subscription in sorted(subscriptions, key=lambda each: each.name):
        topics = [mapping.source_topic for mapping in subscription.topics]
        try:
            groups = await services.links.group_positions(org, subscription.share, None, topics, with_ends=False)
        except PeerRefusedRequest as error:
            refusals.append(error)
        else:
            found += [_shown_peer_group(subscription, each) for each in groups]
    if refusals and len(refusals) == len(subscriptions):
        raise refusals[0]
    return found


def _shown_peer_group(subscription: Subscription, group: PeerGroup) -> dict[str, object]:
    return {
        "group": group.name,
        "subscription": subscription.name,
        "state": GroupState.ACTIVE if group.has_members else GroupState.EMPTY,
        "topics": [each.topic for each in group.topics],
        "partitions": sum(len(each.positions) for each in group.topics),
    }


async def described(services: Services, name: GroupName) -> dict[str, object]:
    """Raises GroupAbsent."""
    topics = [topic.name for topic in await services.cluster.topics.list()]
    group: Group = await services.cluster.groups.describe(name, topics)
    if group.state is GroupState.ABSENT:
        raise GroupAbsent(name, "this cluster")
    ranges = await ranges_of(services.cluster.source, group.positions)
    positions = [
        {
            "topic": place.topic,
            "partition": place.number,
            "position": position,
            "end": ranges[place].last_stable,
            "lag_records": max(0, ranges[place].last_stable - position),
        }
        for place, position in sorted(group.positions.items())
    ]
    return {"group": name, "state": group.state, "members": group.members, "positions": positions}


def shown_move(move: Move) -> dict[str, object]:
    return {
        "subscription": move.subscription.name,
        "direction": move.direction,
        "group": move.group,
        "target": move.target,
        "has_members": move.has_members,
        "target_has_members": move.target_has_members,
        "unanswered": len(move.unanswered),
        "positions": [shown_position(each) for each in move.positions],
    }


def shown_position(moved: MovedPosition) -> dict[str, object]:
    return {
        "topic": moved.lane.topic,
        "partition": moved.lane.partition,
        "destination_topic": moved.destination.topic,
        "answer": moved.answer,
        "reason": moved.reason,
        "source_position": moved.source_position,
        "destination_position": moved.destination_position,
        "lag_records": moved.lag_records,
        "present": moved.present,
    }


def shown_rehearsed(found: Rehearsed) -> dict[str, object]:
    counts: dict[str, Any] = {
        "source_left": found.source_left,
        "destination_left": found.destination_left,
        "different": found.different,
        "equal": found.is_equal,
        "whole": found.is_whole,
    }
    return shown_position(found.position) | counts | {"first": [asdict(pair) for pair in found.first]}


def shown_sync(status: SyncStatus) -> dict[str, object]:
    return asdict(status)
