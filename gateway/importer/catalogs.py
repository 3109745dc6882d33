"""The catalogs of peers, waited for once however many subscriptions want to know what has changed.

A link takes few unanswered questions, and a question that waits for a change is one. So of all that wait for a peer's
next catalog one asks; the others wait behind it and take what it has learned.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Protocol

from mesh.ids import OrgId
from mesh.wire.v1 import catalog_pb2


class CatalogLinks(Protocol):
    async def catalog(self, peer: OrgId, known: bytes = b"") -> catalog_pb2.CatalogReply:
        """The shares that `peer` grants us; where the catalog is the `known` one still, not before some seconds.

        Raises a NetworkError where there is no link.
        """


class Catalogs:
    def __init__(self, links: CatalogLinks) -> None:
        self._links = links
        self._asking: defaultdict[OrgId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._latest: dict[OrgId, catalog_pb2.CatalogReply] = {}

    async def next(self, peer: OrgId, known: bytes) -> catalog_pb2.CatalogReply:
        """As `CatalogLinks.catalog`: at once where nothing is known."""
        if not known:
            return self._learned(peer, await self._links.catalog(peer))
        if (newer := self._other(peer, known)) is not None:  # whoever is slow does not wait for the one after it
            return newer
        async with self._asking[peer]:
            if (newer := self._other(peer, known)) is not None:
                return newer
            return self._learned(peer, await self._links.catalog(peer, known))

    def _other(self, peer: OrgId, known: bytes) -> catalog_pb2.CatalogReply | None:
        latest = self._latest.get(peer)
        return latest if latest is not None and latest.digest != known else None

    def _learned(self, peer: OrgId, reply: catalog_pb2.CatalogReply) -> catalog_pb2.CatalogReply:
        if not reply.unchanged:
            self._latest[peer] = reply
        return reply
