"""Threats 1 and 2: who a peer is comes from its certificate, on the connection and in the proof, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.rpc.authenticator import LinkAuthenticator
from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, OrgId
from mesh.link.frames import Hello, Proof
from mesh.trust.errors import ProofRefused
from mesh.trust.leaf import VerifiedLeaf
from mesh.trust.transcript import proof_digest
from mesh.wire.codec import encode_frame, hello_part
from tests.support.trust import Organization, organization

TODAY = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
ACME, GLOBEX, INITECH = (organization(f"{name}.example", TODAY) for name in ("acme", "globex", "initech"))
OURS = hello_part(encode_frame(0, Hello("acme.example", "one", nonce=bytes(32))))
PEERS = {one.org: one.trust() for one in (GLOBEX, INITECH)}


def hello_of(org: str, name: str = "one") -> tuple[Hello, bytes]:
    hello = Hello(org, name, nonce=bytes(range(32)))
    return hello, hello_part(encode_frame(0, hello))


def proof_by(identity: Identity, theirs: bytes) -> Proof:
    """What a dialler sends to ACME, which accepted."""
    return Proof(identity.chain_der, identity.sign(proof_digest("dialler", theirs, OURS)))


def accepted(expected: Organization, leaf: Identity) -> LinkAuthenticator:
    """ACME's side of a link whose handshake showed `leaf`."""
    return LinkAuthenticator(
        ACME.identity(), lambda: PEERS, expected.org, lambda: TODAY, VerifiedLeaf(leaf.id, leaf.leaf)
    )


def test_an_honest_proof_is_by_the_leaf_of_the_connection() -> None:
    shown = GLOBEX.identity()
    hello, theirs = hello_of(GLOBEX.org)
    found = accepted(GLOBEX, shown).verify(False, OURS, theirs, hello, proof_by(shown, theirs))
    assert str(found) == "spiffe://globex.example/gateway/one"


def test_a_proof_by_another_leaf_of_the_same_peer_is_refused() -> None:
    """What is stolen is a leaf with its key, and the connection is somebody else's of the same organization."""
    shown, other = GLOBEX.identity(), GLOBEX.identity()
    hello, theirs = hello_of(GLOBEX.org)
    with pytest.raises(ProofRefused, match="another than that of the connection"):
        accepted(GLOBEX, shown).verify(False, OURS, theirs, hello, proof_by(other, theirs))


@pytest.mark.parametrize("claimed", [("globex.example", "one"), ("acme.example", "one"), ("initech.example", "two")])
def test_a_hello_that_names_somebody_else_is_refused(claimed: tuple[str, str]) -> None:
    """INITECH, a peer with a grant of its own, shows its own leaf and proof, and says that it is GLOBEX."""
    shown = INITECH.identity()
    hello, theirs = hello_of(*claimed)
    with pytest.raises(ProofRefused, match=r"the certificate is of spiffe://initech\.example"):
        accepted(INITECH, shown).verify(False, OURS, theirs, hello, proof_by(shown, theirs))


def test_whoever_answers_at_a_peers_address_must_be_that_peer() -> None:
    """ACME dials GLOBEX and is answered by INITECH, a peer, too: in its own name, and in GLOBEX's."""
    shown = INITECH.identity()
    for name in (INITECH.org, GLOBEX.org):
        hello, theirs = hello_of(name)
        proof = Proof(shown.chain_der, shown.sign(proof_digest("acceptor", OURS, theirs)))
        dialled = LinkAuthenticator(ACME.identity(), lambda: PEERS, GLOBEX.org, lambda: TODAY)
        with pytest.raises(ProofRefused):
            dialled.verify(True, OURS, theirs, hello, proof)


def test_a_proof_is_not_believed_for_another_name_of_the_same_ca() -> None:
    """GLOBEX's gateway `one` says that it is `two`."""
    shown = GLOBEX.identity()
    other = replace(shown, id=GatewayId(OrgId(GLOBEX.org), shown.id.name))
    hello, theirs = hello_of(GLOBEX.org, "two")
    with pytest.raises(ProofRefused):
        accepted(GLOBEX, shown).verify(False, OURS, theirs, hello, proof_by(other, theirs))
