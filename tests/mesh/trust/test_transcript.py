from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import CertificateBuilder
from hypothesis import given
from hypothesis import strategies as st

from mesh.trust.errors import ProofRefused
from mesh.trust.transcript import proof_digest, verify_proof
from tests.support.trust import organization

IDENTITY = organization("acme.example").identity()
DIGEST = proof_digest("dialler", b"one", b"two")


def test_the_digest_is_what_the_specification_says() -> None:
    written = b"stream-mesh link proof v1\x00" + b"\0\0\0\x07dialler" + b"\0\0\0\x03one" + b"\0\0\0\x03two"
    assert hashlib.sha256(written).digest() == DIGEST


def test_the_leafs_own_signature_passes() -> None:
    verify_proof(IDENTITY.leaf, DIGEST, IDENTITY.sign(DIGEST))


@pytest.mark.parametrize(
    "other",
    [
        proof_digest("acceptor", b"one", b"two"),
        proof_digest("dialler", b"two", b"one"),
        proof_digest("dialler", b"onet", b"wo"),
        proof_digest("dialler", b"one without a feature", b"two"),
    ],
)
def test_a_signature_over_anything_else_is_refused(other: bytes) -> None:
    with pytest.raises(ProofRefused, match="does not fit"):
        verify_proof(IDENTITY.leaf, DIGEST, IDENTITY.sign(other))


def test_another_keys_signature_is_refused() -> None:
    with pytest.raises(ProofRefused):
        verify_proof(IDENTITY.leaf, DIGEST, organization("acme.example").identity().sign(DIGEST))


@given(st.binary(max_size=80))
def test_any_bytes_as_a_signature_are_refused(signature: bytes) -> None:
    with pytest.raises(ProofRefused):
        verify_proof(IDENTITY.leaf, DIGEST, signature)


def test_a_leaf_of_another_kind_of_key_is_refused() -> None:
    acme, key = organization("acme.example"), rsa.generate_private_key(65537, 2048)

    def with_rsa(builder: CertificateBuilder) -> CertificateBuilder:
        builder._public_key = key.public_key()
        return builder

    with pytest.raises(ProofRefused, match="elliptic"):
        verify_proof(acme.forge(acme.org, with_rsa).certificate, DIGEST, b"")
