"""Shares: what this organization offers.

GET  /v1/shares          {"shares": [{name, version, topics, created_ms, granted_to}]}
POST /v1/shares          {name, topics} -> share; every topic must exist
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin.fields import Fields
from gateway.admin.ndjson import read_object
from gateway.services import Services
from mesh.ids import ShareName, TopicName
from mesh.shares import GrantState, Share


def routes(services: Services) -> list[web.RouteDef]:
    registry = services.registry

    async def create(request: web.Request) -> web.Response:
        fields = Fields(await read_object(request), "name", "topics")
        name, topics = ShareName(fields.text("name")), tuple(map(TopicName, fields.texts("topics")))
        for topic in topics:
            await services.cluster.topics.describe(topic)
        share = await registry.create_share(name, topics, services.now_ms())
        return web.json_response(shown(services, share), status=201)

    async def listing(request: web.Request) -> web.Response:
        return web.json_response({"shares": [shown(services, registry.shares[n]) for n in sorted(registry.shares)]})

    return [web.get("/v1/shares", listing), web.post("/v1/shares", create)]


def shown(services: Services, share: Share) -> dict[str, object]:
    grants = services.registry.grants.values()
    return {
        "name": share.name,
        "version": share.version,
        "topics": list(share.topics),
        "created_ms": share.created_ms,
        "granted_to": sorted(g.peer for g in grants if g.share == share.name and g.state is GrantState.ACTIVE),
    }
