"""Who we are and who calls: our own leaf and key, and the caller's leaf checked on every call.

A. A caller's identity comes from its leaf, verified against the bundle of the domain that the leaf claims. The TLS
   handshake vouches for less (see `mesh.trust.leaf`), so no handler may run before `authenticate`.
B. The private key stays in `Identity`: it is in no repr, message or log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

from certs.pairs import signs_for
from certs.store import key_pem, read_certificates, read_key
from gateway.rpc.errors import IdentityUnusable
from mesh.ids import GatewayId, IllegalName, OrgId
from mesh.trust.bundle import spki
from mesh.trust.cache import VerificationCache
from mesh.trust.extensions import uris
from mesh.trust.leaf import PeerTrust, VerifiedLeaf
from mesh.trust.pem import to_der, to_pem

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

LEAF_PROPERTY = "x509_pem_cert"
"""The property of gRPC's authentication context that holds the certificate of the handshake, whole."""


@dataclass(frozen=True, slots=True)
class Identity:
    id: GatewayId
    chain: tuple[Certificate, ...] = field(repr=False)
    """The leaf first."""
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def leaf(self) -> Certificate:
        return self.chain[0]

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        return tuple(to_der(certificate) for certificate in self.chain)

    @property
    def chain_pem(self) -> bytes:
        return to_pem(self.chain).encode()

    @property
    def private_key_pem(self) -> bytes:
        """For gRPC's credentials only."""
        return key_pem(self.key)

    def sign(self, digest: bytes) -> bytes:
        """The identity proof over `mesh.trust.transcript.proof_digest`."""
        return self.key.sign(digest, ec.ECDSA(hashes.SHA256()))


def load_identity(certificates: Path, key: Path) -> Identity:
    """Raises KeyFileExposed, KeyFileUnreadable, CertificateFileUnreadable, IdentityUnusable."""
    chain, private = tuple(read_certificates(certificates)), read_key(key)
    found = uris(chain[0])
    if len(found) != 1:
        raise IdentityUnusable(str(certificates), f"it has {len(found)} URI SANs, not one")
    try:
        gateway = GatewayId.parse(found[0])
    except IllegalName as error:
        raise IdentityUnusable(str(certificates), str(error)) from error
    if spki(chain[0]) != _public(private):
        raise IdentityUnusable(str(certificates), "it is of another key than the private key beside it")
    if not signs_for(private, chain[0].public_key()):
        raise IdentityUnusable(str(certificates), "the private key beside it does not sign for it")
    return Identity(gateway, chain, private)


def presented_leaf(context: ServicerContext[Any, Any]) -> bytes:
    """The caller's certificate as PEM; empty where it showed none."""
    return next(iter(context.auth_context().get(LEAF_PROPERTY) or ()), b"")


def authenticate(
    context: ServicerContext[Any, Any], peers: Mapping[OrgId, PeerTrust], cache: VerificationCache, now: datetime
) -> VerifiedLeaf:
    """Who makes this call. Raises LeafRefused. Call it first in every handler, and again while a stream lives."""
    return cache.verified(presented_leaf(context), peers, now)


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
