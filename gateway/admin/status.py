"""What runs and what stands still: lanes, links, exports.

GET /v1/status          one answer
GET /v1/status/watch    newline-delimited answers, one each second while somebody listens
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict

from aiohttp import web

from gateway.admin import answers
from gateway.http.described import operation
from gateway.http.ndjson import respond_lines
from gateway.services import LinkStatus, Services
from mesh.lanes.status import LaneStatus
from mesh.lanes.warnings import warnings

# What the eye can follow; a refresh costs the gateway well under a millisecond for a hundred lanes.
WATCH_S = 1.0


def routes(services: Services) -> list[web.RouteDef]:
    @operation("what runs and what stands still", answers=answers.STATUS)
    async def status(request: web.Request) -> web.Response:
        return web.json_response(snapshot(services))

    @operation("the same, a line each second while somebody listens", answers=answers.STATUS, streams=True)
    async def watch(request: web.Request) -> web.StreamResponse:
        return await respond_lines(request, snapshots(services))

    return [web.get("/v1/status", status), web.get("/v1/status/watch", watch)]


async def snapshots(services: Services, every_s: float = WATCH_S) -> AsyncIterator[dict[str, object]]:
    while True:
        yield snapshot(services)
        await asyncio.sleep(every_s)


def snapshot(services: Services) -> dict[str, object]:
    lanes = list(services.lanes.statuses())
    return {
        "organization": services.config.organization,
        "gateway": services.config.gateway_name,
        "now_ms": services.now_ms(),
        "peer_address": services.peer_address(),
        "cluster": services.cluster.kind,
        "lanes": [lane_object(lane) for lane in lanes],
        "warnings": [asdict(warning) for warning in warnings(lanes)],
        "links": [link_object(link) for link in services.links.status()],
        "exports": services.links.exports(),
    }


def lane_object(lane: LaneStatus) -> dict[str, object]:
    """The fields of LaneStatus by their names, the lane's id in its three parts."""
    subscription, topic, partition = lane.lane
    return asdict(lane) | {
        "lane": str(lane.lane),
        "subscription": subscription,
        "topic": topic,
        "partition": partition,
        "state": lane.state.value,
    }


def link_object(link: LinkStatus) -> dict[str, object]:
    return asdict(link)
