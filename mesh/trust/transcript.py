"""The identity proof of the Link's Hello: a signature by the leaf's key over both Hellos.

Both sides sign what both said, so whoever changes a feature list or a version on the way breaks the proofs. The
role is part of what is signed: a proof cannot be reflected to its maker.

    digest = SHA-256( label | u32 length, role | u32 length, dialler's Hello | u32 length, acceptor's Hello )

Lengths are big-endian; a Hello is the bytes as they were sent. The signature is ECDSA with SHA-256 over the 32 bytes
of the digest, DER encoded.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate

from mesh.trust.errors import ProofRefused

Role: TypeAlias = Literal["dialler", "acceptor"]
LABEL = b"stream-mesh link proof v1\x00"
"""Keeps these signatures apart from any other that the leaf's key may make."""


def proof_digest(role: Role, hello_dialler: bytes, hello_acceptor: bytes) -> bytes:
    """What the side in `role` signs: 32 bytes."""
    parts = (role.encode(), hello_dialler, hello_acceptor)
    return hashlib.sha256(LABEL + b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def verify_proof(leaf: Certificate, digest: bytes, signature: bytes) -> None:
    """Raises ProofRefused unless the key of `leaf`, verified before, signed `digest`."""
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ProofRefused("the leaf's key is not an elliptic curve key")
    try:
        key.verify(signature, digest, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise ProofRefused("the signature does not fit what both sides said") from error
