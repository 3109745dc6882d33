"""A peer as we keep it: who it is, by what it is verified, where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.names import gateway_dns_name


@dataclass(frozen=True, slots=True)
class Peer:
    bundle: Bundle
    addresses: tuple[str, ...] = ()
    """host:port, or [v6]:port; empty where the peer only dials."""
    state: PeerState = PeerState.ACTIVE
    added_ms: int = 0

    @property
    def org(self) -> OrgId:
        return self.bundle.org

    @property
    def dns_name(self) -> str:
        """The name in the certificates of its gateways."""
        return gateway_dns_name(self.org)
