"""Organizations for tests: authorities, leaves good and bad, and the trust that one holds of another."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.x509 import Certificate, CertificateBuilder

from certs.authority import Authority, Issued
from certs.bundle import bundle_of
from certs.profiles import gateway_builder
from certs.store import write_certificates, write_key
from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, GatewayName, OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.leaf import PeerTrust

NOW = datetime(2031, 5, 17, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
GATEWAY = GatewayName("one")


@dataclass(frozen=True)
class Organization:
    """An authority at a time of its own, with what its peers hold of it."""

    authority: Authority
    now: datetime

    @property
    def org(self) -> OrgId:
        return self.authority.org

    @property
    def bundle(self) -> Bundle:
        return bundle_of(self.org, [self.authority.certificate], self.now)

    def trust(self, state: PeerState = PeerState.ACTIVE) -> PeerTrust:
        return PeerTrust(state, self.bundle)

    def leaf(self, at: datetime | None = None) -> Issued:
        return self.authority.issue(GATEWAY, at or self.now)

    def identity(self, at: datetime | None = None) -> Identity:
        return identity_of(self.leaf(at), GatewayId(self.org, GATEWAY))

    def forge(self, claimed: OrgId, change: Callable[[CertificateBuilder], CertificateBuilder] | None = None) -> Issued:
        """A leaf minted by this organization's CA for a gateway of `claimed`, changed as wanted."""
        key = self.authority.keys()
        issuer, lifetimes = self.authority.certificate, self.authority.lifetimes
        builder = gateway_builder(GatewayId(claimed, GATEWAY), issuer, key.public_key(), 5, self.now, lifetimes)
        return Issued(self.sign(change(builder) if change else builder), key)

    def sign(self, builder: CertificateBuilder) -> Certificate:
        return builder.sign(self.authority.key, hashes.SHA256())


def identity_of(issued: Issued, gateway: GatewayId) -> Identity:
    return Identity(gateway, (issued.certificate,), issued.key)


@cache
def organization(name: str, now: datetime = NOW, generation: int = 1) -> Organization:
    """The same organization for the same arguments: making keys is the slow part of these tests."""
    return Organization(Authority.create(OrgId(name), now, generation), now)


def client_context(identity: Identity | None, server: PeerTrust) -> ssl.SSLContext:
    """What Python's own TLS needs to dial `server` as `identity`, or without a certificate."""
    context = ssl.create_default_context(cadata=server.bundle.pem())
    context.set_alpn_protocols(["h2"])
    if identity is not None:
        with tempfile.TemporaryDirectory() as directory:
            write_key(Path(directory, "key"), identity.key)
            write_certificates(Path(directory, "pem"), [identity.leaf])
            context.load_cert_chain(Path(directory, "pem"), Path(directory, "key"))
    return context
