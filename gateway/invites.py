"""The registry's part for first contact: invites, pending peers, approval, the first meeting.

A. An invite lies under the domain that it is for (`peer/<domain>/invite/<id>`): one put may then mark it used and
   create the pending peer, so that it is never used without a peer nor a peer made twice.
B. The decision on a redemption is made inside of the change, on the invite as it is then: of two at once one wins.
C. A pending peer becomes active by approval and a meeting, in this order, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from hmac import compare_digest
from types import MappingProxyType

from gateway.config_file import nearest
from gateway.peer import Peer
from gateway.registry_errors import PeerAbsent, PeerExists, PeerRevoked
from gateway.registry_state import RegistryState, deciding
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import Accepted, InviteRecord, InviteState, RedemptionReason, Refused, confirmation_phrase
from mesh.trust.enrolment_errors import InviteAbsent, InviteTermsRefused, PeerNotPending, PhraseWrong
from mesh.trust.words import Words

MAX_OPEN = 32
"""Invites that wait at once: each is somebody's chance to become a peer."""

Decide = Callable[[InviteRecord | None, Collection[Bundle]], Accepted | Refused]


class InviteBook(RegistryState):
    """The part of the registry that `Registry` builds on."""

    # Invites

    @property
    def invites(self) -> Mapping[str, InviteRecord]:
        """By id, those that ended included."""
        return MappingProxyType(self._invites)

    def open_invites(self, now_ms: int) -> list[InviteRecord]:
        return [invite for invite in self._invites.values() if invite.state(now_ms) is InviteState.OPEN]

    def check_invited(self, org: OrgId) -> None:
        """Whether `org` may still become a peer. Raises PeerExists, PeerRevoked."""
        known = self._peers.get(org)
        if self._revocations.is_revoked(org) or (known is not None and known.state is PeerState.REVOKED):
            raise PeerRevoked(org)
        if known is not None and not _replaceable(known):
            raise PeerExists(org)

    @deciding
    async def create_invite(self, invite: InviteRecord, now_ms: int) -> InviteRecord:
        """Raises PeerExists, PeerRevoked, InviteTermsRefused."""
        self.check_invited(invite.expected)
        if len(self.open_invites(now_ms)) >= MAX_OPEN:
            raise InviteTermsRefused(f"{MAX_OPEN} others are open")
        return await self._put(invite)

    @deciding
    async def withdraw_invite(self, invite_id: str) -> InviteRecord:
        """One that ended stays as it is. Raises InviteAbsent."""
        invite = self._invites.get(invite_id)
        if invite is None:
            raise InviteAbsent(invite_id[:80], nearest(invite_id, self._invites))
        if invite.used_ms is not None or invite.withdrawn:
            return invite
        return await self._put(replace(invite, withdrawn=True))

    @deciding
    async def redeem_invite(self, invite_id: str, decide: Decide, now_ms: int) -> Peer | Refused:
        """The pending peer that came of it, or why not; a strike is durable before the answer (A, B)."""
        invite = self._invites.get(invite_id)
        verdict = decide(invite, [peer.bundle for peer in self._peers.values()])
        if invite is None or isinstance(verdict, Refused):
            assert isinstance(verdict, Refused)
            if verdict.strike and invite is not None:
                await self._put(replace(invite, strikes=invite.strikes + 1))
            return verdict
        try:
            self.check_invited(verdict.bundle.org)
        except (PeerExists, PeerRevoked) as error:
            return Refused(RedemptionReason.PEER_EXISTS, str(error))
        return await self._put_peer(_pending(verdict, invite, now_ms), replace(invite, used_ms=now_ms))

    # Pending peers

    @deciding
    async def propose_peer(self, peer: Peer) -> Peer | None:
        """Make `peer` pending; answer the unapproved pending one that it replaces. Raises PeerExists, PeerRevoked."""
        assert peer.state is PeerState.PENDING
        self.check_invited(peer.org)
        before = self._peers.get(peer.org)
        await self._put_peer(peer)
        return before

    @deciding
    async def withdraw_peer(self, proposed: Peer, before: Peer | None) -> None:
        """Undo `propose_peer`, unless something else happened to the peer since."""
        known = self._peers.get(proposed.org)
        if known is None or not _replaceable(known) or known.transcript != proposed.transcript:
            return
        if before is None:
            await self._remove(known)
        else:
            await self._put_peer(before)

    @deciding
    async def approve_peer(self, org: str, phrase: Words) -> Peer:
        """Raises PeerAbsent, PeerNotPending, PhraseWrong."""
        peer = self._pending_peer(org)
        expected = confirmation_phrase(bytes.fromhex(peer.transcript))
        if not compare_digest(" ".join(phrase), " ".join(expected)):
            raise PhraseWrong(peer.org)
        return peer if peer.approved else await self._put_peer(replace(peer, approved=True))

    @deciding
    async def reject_peer(self, org: str) -> Peer:
        """Forget a pending peer; it may be invited again. Raises PeerAbsent, PeerNotPending."""
        peer = self._pending_peer(org)
        await self._remove(peer)
        return peer

    async def meet_peer(self, org: OrgId) -> Peer | None:
        """An approved pending peer has proven itself on a link: active from now on. Any other stays as it is."""
        if not _met(self._peers.get(org)):
            return self._peers.get(org)  # nearly always, and without waiting for a change under way
        return await self._meet_peer(org)

    @deciding
    async def _meet_peer(self, org: OrgId) -> Peer | None:
        peer = self._peers.get(org)
        if peer is None or not _met(peer):
            return peer
        return await self._put_peer(replace(peer, state=PeerState.ACTIVE))

    def _pending_peer(self, org: str) -> Peer:
        peer = self._peers.get(org)  # type: ignore[call-overload]  # a text is its key
        if peer is None:
            raise PeerAbsent(org[:300], nearest(org, self._peers))
        if peer.state is not PeerState.PENDING or not peer.transcript:
            raise PeerNotPending(peer.org, peer.state)
        assert isinstance(peer, Peer)
        return peer


def _replaceable(peer: Peer) -> bool:
    """Nobody has approved it, so it is worth nothing yet."""
    return peer.state is PeerState.PENDING and not peer.approved


def _met(peer: Peer | None) -> bool:
    """Whether a meeting makes it active."""
    return peer is not None and peer.state is PeerState.PENDING and peer.approved


def _pending(verdict: Accepted, invite: InviteRecord, now_ms: int) -> Peer:
    return Peer(
        verdict.bundle,
        verdict.addresses,
        PeerState.PENDING,
        now_ms,
        approved=verdict.approved,
        transcript=verdict.transcript.hex(),
        public_only=not invite.allow_private,
    )
