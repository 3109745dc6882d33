"""A peer as we keep it: who it is, by what it is verified, where it listens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.leaf import PeerTrust
from mesh.trust.names import gateway_dns_name

DATE_LIMIT_MS = 253_402_300_800_000
"""The year 10000: no date can be made of what is not below it."""


@dataclass(frozen=True, slots=True)
class Peer:
    bundle: Bundle
    addresses: tuple[str, ...] = ()
    """host:port, or [v6]:port; empty where the peer only dials."""
    state: PeerState = PeerState.ACTIVE
    added_ms: int = 0
    revoked_before_ms: int | None = None
    """Leaves whose validity began before it are dead."""
    denied: tuple[str, ...] = ()
    """Key hashes of single leaves that are dead, sorted."""
    epoch: int = 0
    """Rises with each decision about the peer's trust: see `gateway.revocations`."""
    acknowledged_sequence: int = 0
    """Of our own bundle: what the peer has said to hold durably."""
    approved: bool = False
    """Our operator has compared the confirmation phrase: the peer may greet, and is active once it has."""
    transcript: str = ""
    """Of its enrolment, hex: the confirmation phrase comes of it. Empty for a peer that was added by hand."""
    public_only: bool = False
    """Its addresses are its own word: none may lead to a private network."""

    @property
    def org(self) -> OrgId:
        return self.bundle.org

    @property
    def dns_name(self) -> str:
        """The name in the certificates of its gateways."""
        return gateway_dns_name(self.org)

    @property
    def trust(self) -> PeerTrust:
        """What a leaf of the peer is verified by."""
        before = self.revoked_before_ms
        limit = None if before is None else datetime.fromtimestamp(before / 1000, UTC)
        return PeerTrust(self.state, self.bundle, limit, frozenset(self.denied), self.dns_name, self.approved)
