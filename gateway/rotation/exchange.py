"""Bundles between peers: each side asks for the other's on every new link, pushes its own when it changes, and probes.

A. A received bundle is durable before it is acknowledged; an acknowledgement is durable before it counts.
B. An organization speaks for its own domain only, signed by a leaf that the bundle held so far vouches for.
C. What a peer sends can change what we hold of that peer and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

import structlog

from gateway.peers.errors import UnexpectedReply
from gateway.registry import Registry
from gateway.rotation import messages
from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.errors import LeafRefused
from mesh.trust.leaf import verified
from mesh.trust.update import SignedBundle, accept_update, bundle_digest
from mesh.wire.v1 import link_pb2
from mesh.wire.v1 import trust_pb2 as pb

log = structlog.get_logger()

MAX_PULLS = 3
"""A pull and the acknowledgement of what it brought; a third for a change in between."""


class AskedSession(Protocol):
    """A link, to the side that asks over it."""

    peer: GatewayId | None

    @property
    def features(self) -> tuple[str, ...]: ...

    async def ask(self, body: object) -> object: ...


Ask = Callable[[OrgId, object, str], Awaitable[object]]
"""Peer, body and the feature that it needs; the reply of the peer. Raises MeshError."""


class BundleExchange:
    def __init__(
        self,
        registry: Registry,
        own: Callable[[], Bundle],
        identity: Callable[[], Identity],
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._own = own
        self._identity = identity
        self._now = now

    # --- asked by peers

    def answers(self) -> dict[type, Callable[[OrgId, object], Awaitable[object]]]:
        """By the kind of the request."""
        return {
            pb.BundleRequest: self._offer,
            pb.BundleUpdate: self._take_pushed,
            pb.ProbeLeaf: self._judge,
        }

    async def _offer(self, peer: OrgId, body: object) -> pb.BundleReply:
        assert isinstance(body, pb.BundleRequest)
        own = self._own()
        await self._note(peer, own, body.held)
        reply = pb.BundleReply(sequence=own.sequence)
        if body.held.sequence < own.sequence:
            reply.update.CopyFrom(messages.signed(own, self._identity()))
        return reply

    async def _take_pushed(self, peer: OrgId, body: object) -> pb.BundleAcknowledgement:
        assert isinstance(body, pb.BundleUpdate)
        return messages.acknowledgement(await self._take(peer, messages.parsed(body)))

    async def _judge(self, peer: OrgId, body: object) -> pb.ProbeVerdict:
        """Whether we would accept a leaf by what we hold of the peer; nothing changes."""
        assert isinstance(body, pb.ProbeLeaf)
        held = self._registry.peer(peer)
        verdict = pb.ProbeVerdict(accepted=True, bundle_sequence=held.bundle.sequence)
        try:
            verified(body.certificate, {peer: held.trust}, self._now())
        except LeafRefused as error:
            verdict.accepted, verdict.reason, verdict.detail = False, error.reason.value, error.detail[:300]
        return verdict

    # --- asking peers

    async def greet(self, session: AskedSession) -> None:
        """On a new link: bring what we hold of the peer up to date, and so acknowledge it. Raises MeshError."""
        assert session.peer is not None
        org = session.peer.org
        if messages.FEATURE not in session.features or self._registry.peer(org).state is not PeerState.ACTIVE:
            return
        for _ in range(MAX_PULLS):
            held = self._registry.peer(org).bundle
            reply = await session.ask(pb.BundleRequest(held=messages.acknowledgement(held)))
            if not isinstance(reply, pb.BundleReply):
                raise UnexpectedReply(org, _kind(reply))
            if not reply.HasField("update"):
                return
            await self._take(org, messages.parsed(reply.update))

    async def push(self, ask: Ask, peer: OrgId) -> bool:
        """Send our bundle and answer whether the peer has acknowledged it. Raises MeshError."""
        own = self._own()
        reply = await ask(peer, messages.signed(own, self._identity()), messages.FEATURE)
        if not isinstance(reply, pb.BundleAcknowledgement):
            raise UnexpectedReply(peer, _kind(reply))
        return await self._note(peer, own, reply)

    async def probe(self, ask: Ask, peer: OrgId, leaf: bytes) -> pb.ProbeVerdict:
        """Whether the peer would accept `leaf` (DER). Raises MeshError."""
        reply = await ask(peer, pb.ProbeLeaf(certificate=leaf), messages.FEATURE)
        if not isinstance(reply, pb.ProbeVerdict):
            raise UnexpectedReply(peer, _kind(reply))
        return reply

    # --- what is stored

    async def _take(self, peer: OrgId, update: SignedBundle) -> Bundle:
        """The bundle that we hold of the peer afterwards, durably. Raises MeshError."""
        held = self._registry.peer(peer)
        if bundle_digest(update.bundle) == bundle_digest(held.bundle):
            return held.bundle  # said twice: over two links, or pushed and pulled
        others = [self._own(), *(each.bundle for each in self._registry.peers.values() if each.org != peer)]
        bundle = accept_update(update, peer, held.trust, others, self._now())
        if update.withdraws:
            log.warning("a peer has withdrawn itself", peer=str(peer), sequence=bundle.sequence)
            await self._registry.set_peer_state(peer, PeerState.REVOKED)
            return bundle
        await self._registry.set_peer_bundle(bundle)
        log.info(
            "a peer's bundle has changed", peer=str(peer), sequence=bundle.sequence, roots=len(bundle.certificates)
        )
        return bundle

    async def _note(self, peer: OrgId, own: Bundle, held: pb.BundleAcknowledgement) -> bool:
        if not messages.names(held, own):
            if held.sequence >= own.sequence:
                log.warning(
                    "a peer holds another bundle of ours than we know: it must be pinned anew",
                    peer=str(peer),
                    theirs=held.sequence,
                    ours=own.sequence,
                )
            return False
        await self._registry.acknowledge_bundle(peer, own.sequence)
        return True


def _kind(reply: object) -> str:
    return reply.code if isinstance(reply, link_pb2.Refusal) else type(reply).__name__
