"""Where the operator's commands for first contact arrive: invite a partner, accept a partner's invite.

A. Words come in and go out in this module; they are stored nowhere and logged nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex
from typing import NamedTuple

from gateway.address import Address
from gateway.enrolment.audit import Audit, no_audit
from gateway.enrolment.door import Door, Probe
from gateway.enrolment.reach import Reach, reach_of
from gateway.enrolment.redeemer import Redeemer
from gateway.enrolment.service import EnrolmentService
from gateway.peer import Peer
from gateway.registry import Registry
from gateway.rpc.identity import Identity
from gateway.rpc.listener import Listener
from gateway.rpc.targets import check_addresses, checked_targets
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import InviteRecord, confirmation_phrase
from mesh.trust.enrolment_errors import (
    EnrolmentRefused,
    EnrolmentUnanswered,
    EnrolmentUnproven,
    InviteTermsRefused,
)
from mesh.trust.invite import (
    SALT_BYTES,
    Invite,
    InviteFile,
    InviteKeys,
    check_invite,
    derive,
    parse_invite,
    seal,
    to_json,
)
from mesh.trust.peerfile import PeerFile, check_fingerprint
from mesh.trust.words import ENTROPY_BYTES, Words, parse_words, words_of

MIN_TTL_S, MAX_TTL_S = 60, 30 * 86_400
DEFAULT_TTL_S = 86_400


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asked for. Empty texts and tuples mean the defaults."""

    expected: OrgId
    name: str = ""
    ttl_s: int = DEFAULT_TTL_S
    addresses: tuple[str, ...] = ()
    enrolment: tuple[str, ...] = ()
    expect_fingerprint: str = ""
    allow_private: bool = False


class Made(NamedTuple):
    record: InviteRecord
    file: InviteFile
    words: Words
    reach: list[Reach]

    def __repr__(self) -> str:
        return f"<Made {self.record.id}>"

    @property
    def text(self) -> str:
        """What to send to the partner."""
        return to_json(self.file)


class Acceptance(NamedTuple):
    """What the operator of the invited side gave. The words are in `words` and nowhere else."""

    file: str
    words: str
    allow_private: bool = False
    expect_fingerprint: str = ""
    addresses: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "<Acceptance>"


class EnrolmentDesk:
    def __init__(
        self,
        registry: Registry,
        identity: Callable[[], Identity],
        own_bundle: Callable[[], Awaitable[Bundle]],
        addresses: Callable[[], tuple[str, ...]],
        listen: Address | None,
        now_ms: Callable[[], int],
        *,
        allow_private: bool = False,
        audit: Audit = no_audit,
        announce: Callable[[str], None] = lambda _: None,
        probe: Probe | None = None,
    ) -> None:
        self._registry = registry
        self._identity = identity
        self._own_bundle = own_bundle
        self._addresses = addresses
        self._now_ms = now_ms
        self.allow_private = allow_private
        self._audit = audit
        self._service = EnrolmentService(identity, registry, own_bundle, self._now, time.monotonic, audit)
        self.door = Door(self._service, registry, listen, now_ms, announce, probe)

    def __repr__(self) -> str:
        return f"<EnrolmentDesk {self.address or 'closed'}>"

    @property
    def address(self) -> str:
        """Where the enrolment listener is, empty while it is closed."""
        return self.door.address

    async def run(self) -> None:
        """Open and close the enrolment listener as invites come and go, until cancelled."""
        await self.door.run()

    # Inviting

    async def invite(self, wanted: Wanted) -> Made:
        """A new invite; its words are here and nowhere else.

        Raises EnrolmentClosed, InviteTermsRefused, PeerExists, PeerRevoked, PortInUse, AddressRefused.
        """
        own = await self._own_bundle()
        if wanted.expected == own.org:
            raise InviteTermsRefused(f"{own.org} is this organization itself")
        if not MIN_TTL_S <= wanted.ttl_s <= MAX_TTL_S:
            raise InviteTermsRefused(f"it may last from {MIN_TTL_S} seconds to {MAX_TTL_S // 86_400} days")
        self._registry.check_invited(wanted.expected)
        async with self.door.held_open() as listener:
            words = words_of(token_bytes(ENTROPY_BYTES))
            invite = self._compose(wanted, own, listener)
            keys = await asyncio.to_thread(derive, words, invite.salt)
            identity = self._identity()
            file = seal(invite, keys, identity.chain_der, identity.sign)
            record = await self._registry.create_invite(self._record(wanted, invite, keys, file), self._now_ms())
            return Made(record, file, words, await reach_of([*invite.addresses, *invite.enrolment]))

    def _compose(self, wanted: Wanted, own: Bundle, listener: Listener) -> Invite:
        addresses = wanted.addresses or self._addresses()
        hosts = [Address.parse(address).host for address in addresses]
        enrolment = wanted.enrolment or tuple(str(Address(host, listener.port)) for host in dict.fromkeys(hosts))
        created = self._now().replace(microsecond=0)
        return Invite(
            id=token_hex(16),
            salt=token_bytes(SALT_BYTES),
            bundle=own,
            addresses=addresses,
            enrolment=enrolment or (listener.address,),
            created=created,
            expires=created + timedelta(seconds=wanted.ttl_s),
        )

    def _record(self, wanted: Wanted, invite: Invite, keys: InviteKeys, file: InviteFile) -> InviteRecord:
        return InviteRecord(
            id=invite.id,
            public_key=keys.public,
            digest=file.digest,
            expected=wanted.expected,
            created_ms=int(invite.created.timestamp() * 1000),
            expires_ms=int(invite.expires.timestamp() * 1000),
            name=wanted.name,
            expect_fingerprint=wanted.expect_fingerprint,
            allow_private=wanted.allow_private or self.allow_private,
        )

    # Accepting

    async def accept(self, given: Acceptance) -> Peer:
        """Redeem a partner's invite; the pending peer that came of it.

        Raises InviteRefused, WordsMalformed, InviteUnfit, InviteExpired, InviteNotYetValid, BundleRefused, PeerExists,
        PeerRevoked, FingerprintMismatch, AddressNotPublic, EnrolmentUnanswered, EnrolmentRefused, EnrolmentUnproven.
        """
        file, words = parse_invite(given.file), parse_words(given.words)
        keys = await asyncio.to_thread(derive, words, file.salt)
        own = await self._own_bundle()
        known = [peer.bundle for peer in self._registry.peers.values()]
        invite = check_invite(file, keys, own, known, self._now())
        self._registry.check_invited(invite.org)
        if given.expect_fingerprint:
            check_fingerprint(PeerFile(invite.bundle, invite.addresses), given.expect_fingerprint)
        allowed = given.allow_private or self.allow_private
        await check_addresses(invite.addresses, allow_private=allowed)
        targets = await enrolment_targets(invite, allow_private=allowed)
        redeemer = Redeemer(self._identity(), own, given.addresses or self._addresses(), self._now)
        proposal = _Proposal(self._registry, invite, given, self._now_ms(), public_only=not allowed)
        try:
            await self._redeem(redeemer, invite, file, keys, targets, proposal)
        except MeshError as error:
            await self._audit("invite.accepted", invite.org, "refused", invite=invite.id, reason=error.code)
            raise
        peer = self._registry.peer(invite.org)
        if given.expect_fingerprint:  # it fits, and stands for the comparison of phrases
            peer = await self._registry.approve_peer(peer.org, confirmation_phrase(bytes.fromhex(peer.transcript)))
        return peer

    async def _redeem(
        self,
        redeemer: Redeemer,
        invite: Invite,
        file: InviteFile,
        keys: InviteKeys,
        targets: list[str],
        proposal: _Proposal,
    ) -> None:
        for number, target in enumerate(targets, 1):
            try:
                await redeemer.redeem(invite, file.digest, keys, target, proposal)
                return
            except EnrolmentUnanswered:
                # once the redemption is on its way its outcome is unknown: nothing may be sent twice
                if proposal.peer is not None or number == len(targets):
                    raise
            except (EnrolmentRefused, EnrolmentUnproven):
                await proposal.withdraw()
                raise

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC)


class _Proposal:
    """Makes the inviter a pending peer of ours when the transcript is known, and can undo that."""

    def __init__(
        self, registry: Registry, invite: Invite, given: Acceptance, now_ms: int, *, public_only: bool
    ) -> None:
        self._registry, self._invite, self._given, self._now_ms = registry, invite, given, now_ms
        self._public_only = public_only
        self._before: Peer | None = None
        self.peer: Peer | None = None

    async def __call__(self, transcript: bytes) -> None:
        peer = Peer(
            self._invite.bundle,
            self._invite.addresses,
            PeerState.PENDING,
            self._now_ms,
            transcript=transcript.hex(),
            public_only=self._public_only,
        )
        self._before = await self._registry.propose_peer(peer)
        self.peer = peer

    async def withdraw(self) -> None:
        if self.peer is not None:
            await self._registry.withdraw_peer(self.peer, self._before)


async def enrolment_targets(invite: Invite, *, allow_private: bool) -> list[str]:
    """Every checked address of the inviter's enrolment listener. Raises AddressNotPublic, EnrolmentUnanswered."""
    targets: list[str] = []
    why = ""
    for address in invite.enrolment:
        try:
            targets += await checked_targets(address, allow_private=allow_private)
        except OSError as error:
            why = f"{address} does not resolve: {error.strerror or error}"
    if not targets:
        raise EnrolmentUnanswered(invite.org, why)
    return targets
