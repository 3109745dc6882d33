"""What we offer a peer now: the catalog of its grants, and word of it as soon as it changes.

A peer that names the catalog it knows is answered when there is another: topics that were made, grew or were
configured are seen by looking at the cluster now and then, changes of ours at once.

A. A topic is listed if `mesh.policy.decide` lets the peer read it, and for no other reason.
B. Looking takes a twentieth of the time at most, however many topics there are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from hashlib import sha256

from gateway.offers import offered_settings
from gateway.registry import Registry
from mesh.errors import MeshError
from mesh.ids import OrgId, TopicName
from mesh.log import Topic
from mesh.origins import path_here
from mesh.policy import Request
from mesh.ports import Cluster
from mesh.shares import Share
from mesh.wire.v1 import catalog_pb2

LOOK_S = 1.0
"""Between two looks at the cluster while a peer waits for a change."""
LOOK_SHARE = 20
MAX_WAIT_S = 20.0


class Offering:
    def __init__(
        self, cluster: Cluster, registry: Registry, now_ms: Callable[[], int], organization: Callable[[], OrgId]
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._now_ms = now_ms
        self._organization = organization

    async def catalog(self, peer: OrgId) -> catalog_pb2.CatalogReply:
        """The shares granted to `peer` now."""
        decided = [
            (share, self._registry.decide(Request(peer, share.name), self._now_ms()))
            for share in self._registry.shares.values()
        ]
        allowed = [(share, decision.until_ms or 0) for share, decision in decided if decision.allowed]
        topics = await self._topics([share for share, _ in allowed])
        reply = catalog_pb2.CatalogReply()
        reply.shares.extend(self._described(peer, share, until_ms, topics) for share, until_ms in allowed)
        reply.digest = sha256(reply.SerializeToString(deterministic=True)).digest()[:16]
        return reply

    async def changed(self, peer: OrgId, known: bytes, wait_s: float) -> catalog_pb2.CatalogReply:
        """The catalog as soon as its digest is not `known`, after `wait_s` at the latest that it still is."""
        give_up = time.monotonic() + min(wait_s, MAX_WAIT_S)
        while True:
            version, began = self._registry.version, time.monotonic()
            try:
                reply = await self.catalog(peer)
            except MeshError:
                if began >= give_up or not known:
                    raise
            else:
                if reply.digest != known:
                    return reply
            left_s = give_up - time.monotonic()
            if left_s <= 0:
                return catalog_pb2.CatalogReply(digest=known, unchanged=True)
            await self._pause(version, min(left_s, max(LOOK_S, LOOK_SHARE * (time.monotonic() - began))))

    async def _pause(self, version: int, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._registry.wait_changed(version)
        except TimeoutError:
            pass

    async def _topics(self, shares: list[Share]) -> list[Topic]:
        if not any(share.topics or share.patterns for share in shares):
            return []
        return await self._cluster.topics.list(lambda name: any(share.holds(name) for share in shares))

    def _described(self, peer: OrgId, share: Share, until_ms: int, topics: list[Topic]) -> catalog_pb2.CatalogShare:
        grant = self._registry.grants[f"{share.name}@{peer}"]
        described = catalog_pb2.CatalogShare(
            name=share.name, version=share.version, grant_end_ms=until_ms, onward=grant.onward
        )
        for topic in topics:
            asked = Request(peer, share.name, TopicName(topic.name), topic_id=topic.topic_id)
            if self._registry.decide(asked, self._now_ms()).allowed:
                described.topics.append(self._offered(topic))
        return described

    def _offered(self, topic: Topic) -> catalog_pb2.CatalogTopic:
        path = path_here(self._registry.origins.get(topic.topic_id), self._organization(), topic.topic_id)
        return catalog_pb2.CatalogTopic(
            name=topic.name,
            partitions=topic.partitions,
            topic_id=topic.topic_id,
            config=offered_settings(topic.config),
            origin=[catalog_pb2.Hop(organization=hop.organization, topic_id=hop.topic_id) for hop in path],
        )
