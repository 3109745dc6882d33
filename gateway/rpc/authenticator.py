"""The identity proof of a link: we sign both hellos, and check the peer's signature by its verified leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, OrgId
from mesh.link.frames import Hello, Proof
from mesh.trust.errors import ProofRefused
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.pem import certificate_from_der, to_der
from mesh.trust.transcript import Role, proof_digest, verify_proof


class LinkAuthenticator:
    """For one link. `expected` is the organization that was dialled, or whose leaf the handshake showed.

    `leaf` is that leaf (DER) where we accepted the connection: the proof must be by the same one. A dialler
    cannot see the acceptor's; it has the handshake, made with that peer's roots only, and the proof.
    """

    def __init__(
        self,
        identity: Identity,
        peers: Callable[[], Mapping[OrgId, PeerTrust]],
        expected: OrgId,
        now: Callable[[], datetime],
        leaf: bytes = b"",
    ) -> None:
        self._identity = identity
        self._peers = peers
        self._expected = expected
        self._now = now
        self._leaf = leaf

    def prove(self, dialler: bool, ours: bytes, theirs: bytes) -> Proof:
        digest = proof_digest(_role(dialler), *_ordered(dialler, ours, theirs))
        return Proof(self._identity.chain_der, self._identity.sign(digest))

    def verify(self, dialler: bool, ours: bytes, theirs: bytes, hello: Hello, proof: Proof) -> GatewayId:
        """The gateway that the proof is of. Raises LeafRefused, ProofRefused."""
        if not proof.certificate_chain:
            raise ProofRefused("it carries no certificate")
        leaf = verified(proof.certificate_chain[0], self._peers(), self._now())
        if leaf.id.org != self._expected or (hello.organization, hello.gateway) != (leaf.id.org, leaf.id.name):
            raise ProofRefused(f"the certificate is of {leaf.id}, the hello of {hello.organization[:255]!r}")
        if self._leaf and to_der(leaf.certificate) != to_der(certificate_from_der(self._leaf)):
            raise ProofRefused("the certificate is another than that of the connection")
        verify_proof(
            leaf.certificate, proof_digest(_role(not dialler), *_ordered(dialler, ours, theirs)), proof.signature
        )
        return leaf.id


def _role(dialler: bool) -> Role:
    return "dialler" if dialler else "acceptor"


def _ordered(dialler: bool, ours: bytes, theirs: bytes) -> tuple[bytes, bytes]:
    return (ours, theirs) if dialler else (theirs, ours)
