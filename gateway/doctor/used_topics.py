"""The topics that a gateway uses, by what it has stored: those it shares and those it mirrors into."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from gateway.doctor.facts import Asked, Use
from gateway.services import Services
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.wire.v1 import catalog_pb2

PATIENCE_S = 3.0
"""A peer that does not answer only costs the comparison with its topics."""


async def used_topics(services: Services) -> list[Asked]:
    """By use and name. What a peer says of its topics is there where it is linked."""
    sources = [Asked(name, Use.SOURCE) for name in sorted(await _shared(services))]
    destinations = {}
    for peer in {each.peer for each in services.registry.subscriptions.values()}:
        offered = await _offered(services, peer)
        for subscription in services.registry.subscriptions.values():
            if subscription.peer == peer:
                for mapping in subscription.topics:
                    config = offered.get((subscription.share, mapping.source_topic), {})
                    destinations[mapping.destination_topic] = config
    copies = [Asked(name, Use.DESTINATION, config) for name, config in sorted(destinations.items())]
    return [*sources, *copies]


async def _shared(services: Services) -> set[str]:
    shares = services.registry.shares.values()
    names = {str(topic) for share in shares for topic in share.topics}
    if any(share.patterns for share in shares):
        with suppress(MeshError):  # what is in the way is told by the checks of the cluster
            listed = await services.cluster.topics.list()
            names |= {topic.name for topic in listed for share in shares if share.holds(topic.name)}
    return names


async def _offered(services: Services, peer: OrgId) -> Mapping[tuple[str, str], Mapping[str, str]]:
    reply = catalog_pb2.CatalogReply()
    with suppress(MeshError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            reply = await services.links.catalog(peer)
    return {(share.name, topic.name): dict(topic.config) for share in reply.shares for topic in share.topics}
