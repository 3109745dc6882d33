"""Questions to peers beside the lanes: their catalog, digests for verification, positions of their groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from gateway.groups.errors import TooManyPositions
from gateway.groups.messages import MAX_POSITIONS, encoded, groups_of
from gateway.peers.errors import PeerRefusedRequest, PeerUnreachable, UnexpectedReply
from gateway.peers.table import LinkTable
from gateway.services import DigestPage
from gateway.verify.digests import DIGEST_BYTES
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, OrgId, ShareName, TopicName
from mesh.shares import StartAt
from mesh.wire.v1 import catalog_pb2, link_pb2

MEETING_S = 3.0
_Reply = TypeVar("_Reply")


class Questions:
    """Asks over the link that serves a peer. `why_not` says why there is none."""

    def __init__(self, table: LinkTable, why_not: Callable[[OrgId], str]) -> None:
        self._table = table
        self._why_not = why_not

    async def catalog(self, peer: OrgId, known: bytes = b"", wait_s: float = 0) -> catalog_pb2.CatalogReply:
        await self._met(peer)
        body = catalog_pb2.CatalogRequest(known=known, wait_ms=int(wait_s * 1000) if known else 0)
        return await self._ask_for(catalog_pb2.CatalogReply, peer, body)

    async def measure(
        self, peer: OrgId, share: ShareName, topics: Sequence[str], start: StartAt
    ) -> link_pb2.MeasureReply:
        position = link_pb2.Position()
        match start.kind:
            case "latest":
                position.latest = True
            case "offset":
                position.offset = start.value
            case "timestamp":
                position.timestamp_ms = start.value
            case _:
                position.earliest = True
        body = link_pb2.MeasureRequest(share=share, topics=topics, position=position)
        return await self._ask_for(link_pb2.MeasureReply, peer, body)

    async def digests(
        self,
        peer: OrgId,
        share: ShareName,
        topic: TopicName,
        partition: int,
        start: int,
        end: int,
        max_records: int,
        *,
        bare: bool = False,
    ) -> DigestPage:
        body = link_pb2.DigestRequest(
            share=share,
            topic=topic,
            partition=partition,
            source_offset=start,
            end_source_offset=end,
            max_records=max_records,
            bare=bare,
        )
        reply = await self._ask_for(link_pb2.DigestReply, peer, body)
        offsets, offset = [], start
        for delta in reply.offset_deltas:
            offset += delta
            offsets.append(offset)
        return DigestPage(offsets, _split(reply.digests), reply.next_source_offset, _split(reply.bare_digests))

    async def group_positions(
        self, peer: OrgId, share: ShareName, group: GroupName | None, topics: Sequence[TopicName], *, with_ends: bool
    ) -> list[PeerGroup]:
        """Also raises PositionsIllegal, TooManyPositions."""
        body = link_pb2.GroupPositionsRequest(share=share, group=group or "", topics=topics, with_ends=with_ends)
        reply = await self._ask_for(link_pb2.GroupPositionsReply, peer, body)
        if reply.truncated:
            raise TooManyPositions(MAX_POSITIONS)
        return groups_of(reply, group, topics)

    async def group_commit(
        self, peer: OrgId, share: ShareName, group: GroupName, positions: Sequence[TopicPositions], *, backward: bool
    ) -> int:
        body = link_pb2.GroupCommitRequest(share=share, group=group, topics=encoded(positions), backward=backward)
        return (await self._ask_for(link_pb2.GroupCommitReply, peer, body)).changed

    async def _met(self, peer: OrgId) -> None:
        """Wait a moment for the first link: who asks for a catalog may have been paired just now."""
        if self._table.current(peer) is None and not self._why_not(peer):
            with suppress(TimeoutError):
                async with asyncio.timeout(MEETING_S):
                    await self._table.wait(peer)

    async def _ask_for(self, kind: type[_Reply], peer: OrgId, body: object) -> _Reply:
        """Raises UnexpectedReply, and what `ask` raises."""
        reply = await self.ask(peer, body)
        if not isinstance(reply, kind):
            raise UnexpectedReply(peer, type(reply).__name__)
        return reply

    async def ask(self, peer: OrgId, body: object) -> object:
        """The answer. Raises PeerUnreachable, PeerRefusedRequest, LinkLost."""
        link = self._table.current(peer)
        if link is None:
            raise PeerUnreachable(peer, self._why_not(peer) or "it has not connected")
        reply = await link.session.ask(body)
        if isinstance(reply, link_pb2.Refusal):
            raise PeerRefusedRequest(peer, reply.code, reply.detail)
        return reply


def _split(digests: bytes) -> list[bytes]:
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]
