"""The catalog of a peer: the shares it grants us, asked of it over the link.

GET /v1/catalog?peer=    {"peer", "shares": [{name, version, grant_end_ms, topics}]}

A topic is {name, partitions, topic_id, config}.
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin import answers
from gateway.http import schemas
from gateway.http.described import Text, operation
from gateway.http.query import query_text
from gateway.registry import Registry
from gateway.registry_errors import PeerNotActive
from gateway.services import Services
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.wire.v1 import catalog_pb2


def routes(services: Services) -> list[web.RouteDef]:
    @operation(
        "the shares that a peer grants us",
        query={"peer": Text()},
        answers=schemas.object_of({"peer": schemas.TEXT, "shares": schemas.list_of(answers.CATALOG_SHARE)}),
    )
    async def catalog(request: web.Request) -> web.Response:
        peer = active_peer(services.registry, query_text(request, "peer"))
        reply = await services.links.catalog(peer)
        return web.json_response({"peer": peer, "shares": [shown(share) for share in reply.shares]})

    return [web.get("/v1/catalog", catalog)]


def active_peer(registry: Registry, name: str) -> OrgId:
    """Raises PeerAbsent, PeerNotActive."""
    peer = registry.peer(name)
    if peer.state is not PeerState.ACTIVE:
        raise PeerNotActive(peer.org, peer.state)
    return peer.org


def shown(share: catalog_pb2.CatalogShare) -> dict[str, object]:
    return {
        "name": share.name,
        "version": share.version,
        "grant_end_ms": share.grant_end_ms or None,
        "topics": [
            {
                "name": topic.name,
                "partitions": topic.partitions,
                "topic_id": topic.topic_id,
                "config": dict(sorted(topic.config.items())),
            }
            for topic in share.topics
        ],
    }
