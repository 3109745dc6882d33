"""The identity proof of a link: we sign both hellos, and check the peer's signature by its verified leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, OrgId
from mesh.link.frames import Hello, Proof
from mesh.trust.errors import LeafRefused, ProofRefused
from mesh.trust.leaf import PeerTrust, VerifiedLeaf, verified
from mesh.trust.transcript import Role, proof_digest, verify_proof


class LinkAuthenticator:
    """For one link. `expected` is the organization that was dialled, or whose leaf the handshake showed.

    `leaf` is that leaf where we accepted the connection: the proof must be by the same one. A dialler
    cannot see the acceptor's; it has the handshake, made with that peer's roots only, and the proof, from which `leaf`
    is known then. `refused` is told of a leaf that did not pass.
    """

    def __init__(
        self,
        identity: Identity,
        peers: Callable[[], Mapping[OrgId, PeerTrust]],
        expected: OrgId,
        now: Callable[[], datetime],
        leaf: VerifiedLeaf | None = None,
        refused: Callable[[bytes, LeafRefused], None] = lambda certificate, error: None,
    ) -> None:
        self._identity = identity
        self._peers = peers
        self._expected = expected
        self._now = now
        self.leaf = leaf
        self._refused = refused

    def prove(self, dialler: bool, ours: bytes, theirs: bytes) -> Proof:
        digest = proof_digest(_role(dialler), *_ordered(dialler, ours, theirs))
        return Proof(self._identity.chain_der, self._identity.sign(digest))

    def verify(self, dialler: bool, ours: bytes, theirs: bytes, hello: Hello, proof: Proof) -> GatewayId:
        """The gateway that the proof is of. Raises LeafRefused, ProofRefused."""
        if not proof.certificate_chain:
            raise ProofRefused("it carries no certificate")
        leaf = self._verified(proof.certificate_chain[0])
        if leaf.id.org != self._expected or (hello.organization, hello.gateway) != (leaf.id.org, leaf.id.name):
            raise ProofRefused(f"the certificate is of {leaf.id}, the hello of {hello.organization[:255]!r}")
        if self.leaf is not None and leaf.certificate != self.leaf.certificate:
            raise ProofRefused("the certificate is another than that of the connection")
        verify_proof(
            leaf.certificate, proof_digest(_role(not dialler), *_ordered(dialler, ours, theirs)), proof.signature
        )
        self.leaf = leaf
        return leaf.id

    def _verified(self, certificate: bytes) -> VerifiedLeaf:
        try:
            return verified(certificate, self._peers(), self._now())
        except LeafRefused as error:
            self._refused(certificate, error)
            raise


def _role(dialler: bool) -> Role:
    return "dialler" if dialler else "acceptor"


def _ordered(dialler: bool, ours: bytes, theirs: bytes) -> tuple[bytes, bytes]:
    return (ours, theirs) if dialler else (theirs, ours)
