"""What we answer a verified peer beside the lanes: the catalog of its grants, and digests for verification."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import structlog

from gateway.peers.measuring import Measuring
from gateway.peers.offering import Offering
from gateway.peers.public import ProviderFailed, public
from gateway.registry import Registry
from gateway.verify.digests import digest_page
from mesh.errors import MeshError
from mesh.ids import OrgId, Partition, ShareName, TopicName
from mesh.policy import Request
from mesh.ports import Cluster
from mesh.wire.v1 import catalog_pb2, link_pb2

log = structlog.get_logger()

# A page of digests is 16 bytes a record and about 2 an offset: well below the smallest frame limit.
MAX_DIGESTS = 20_000


class Answers:
    """Answers requests of peers, each against the grants as they are now."""

    def __init__(
        self, cluster: Cluster, registry: Registry, now_ms: Callable[[], int], organization: Callable[[], OrgId]
    ) -> None:
        self._offering = Offering(cluster, registry, now_ms, organization)
        self._measuring = Measuring(cluster, registry, now_ms)
        self._cluster = cluster
        self._registry = registry
        self._now_ms = now_ms
        self.also: dict[type, Callable[[OrgId, Any], Awaitable[object]]] = {}
        """What other parts of the gateway answer, by the kind of the request."""

    async def answer(self, peer: OrgId, body: object) -> object:
        """The reply to one request. Errors become a refusal, without a word on what the peer may not know."""
        try:
            if isinstance(body, catalog_pb2.CatalogRequest):
                return await self._catalog(peer, body)
            if isinstance(body, link_pb2.MeasureRequest):
                return await self._measuring.answer(peer, body)
            if (answer := self.also.get(type(body))) is not None:
                return await answer(peer, body)
            assert isinstance(body, link_pb2.DigestRequest)
            return await self._digests(peer, body)
        except MeshError as error:
            log.warning("request refused", peer=str(peer), code=error.code, reason=str(error))
            told = public(error, getattr(body, "share", ""))
            return link_pb2.Refusal(code=told.code, detail=str(told), retriable=told.retriable)
        except Exception:  # a mistake of ours in one answer must not end the link
            log.exception("request failed", peer=str(peer))
            told = ProviderFailed()
            return link_pb2.Refusal(code=told.code, detail=str(told), retriable=told.retriable)

    async def catalog(self, peer: OrgId) -> catalog_pb2.CatalogReply:
        """The shares granted to `peer` now."""
        return await self._offering.catalog(peer)

    async def _catalog(self, peer: OrgId, body: catalog_pb2.CatalogRequest) -> catalog_pb2.CatalogReply:
        if body.known:
            return await self._offering.changed(peer, body.known, body.wait_ms / 1000)
        return await self._offering.catalog(peer)

    async def _digests(self, peer: OrgId, body: link_pb2.DigestRequest) -> link_pb2.DigestReply:
        topic = TopicName(body.topic)
        request = Request(peer, ShareName(body.share), topic, body.partition)
        self._registry.decide(request, self._now_ms()).require()
        if self._registry.origins:  # it may be a copy
            request = replace(request, topic_id=(await self._cluster.topics.describe(topic)).topic_id)
        self._registry.decide(request, self._now_ms()).require()
        wanted = min(body.max_records or MAX_DIGESTS, MAX_DIGESTS)
        partition, first, end = Partition(topic, body.partition), body.source_offset, body.end_source_offset
        if body.bare:
            wanted = min(wanted, MAX_DIGESTS // 2)
        page = await digest_page(self._cluster.source, partition, first, end, wanted, bare=body.bare)
        self._registry.decide(request, self._now_ms()).require()  # that took a while
        before = [body.source_offset, *page.offsets]
        return link_pb2.DigestReply(
            offset_deltas=[offset - earlier for offset, earlier in zip(page.offsets, before, strict=False)],
            digests=b"".join(page.digests),
            next_source_offset=page.next_source_offset,
            bare_digests=b"".join(page.bare),
        )
