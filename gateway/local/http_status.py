"""How the gateway is, and its end.

GET  /v1/status      what it is, whether it is ready, what is not as it should be, its lanes
POST /v1/shutdown    the same clean end as SIGTERM, for jobs
"""

from __future__ import annotations

from aiohttp import web

from gateway.http.described import operation
from gateway.http.schemas import FLAG, TEXT, WHOLE, list_of, null_or, object_of
from gateway.local.api import LocalApi
from gateway.local.values import LocalStatus
from mesh.lanes.status import LaneStatus

LANE = object_of(
    {
        "subscription": TEXT,
        "peer": TEXT,
        "topic": TEXT,
        "partition": WHOLE,
        "state": TEXT,
        "reason": TEXT,
        "remedy": TEXT,
        "lag_records": null_or(WHOLE),
        "lag_s": null_or({"type": "number"}),
    }
)
STATUS = object_of(
    {
        "organization": TEXT,
        "gateway": TEXT,
        "version": TEXT,
        "ready": FLAG,
        "troubles": list_of(TEXT),
        "lanes": list_of(LANE),
    }
)


def routes(api: LocalApi) -> list[web.RouteDef]:
    @operation("how the gateway is", answers=STATUS)
    async def status(request: web.Request) -> web.Response:
        return web.json_response(shown(api.status()))

    return [web.get("/v1/status", status)]


def shown(status: LocalStatus) -> dict[str, object]:
    return {
        "organization": status.organization,
        "gateway": status.gateway,
        "version": status.version,
        "ready": status.ready,
        "troubles": list(status.troubles),
        "lanes": [shown_lane(each) for each in status.lanes],
    }


def shown_lane(lane: LaneStatus) -> dict[str, object]:
    return {
        "subscription": lane.lane.subscription,
        "peer": lane.peer,
        "topic": lane.lane.topic,
        "partition": lane.lane.partition,
        "state": lane.state,
        "reason": lane.reason,
        "remedy": lane.remedy,
        "lag_records": lane.lag_records,
        "lag_s": lane.lag_s,
    }
