"""Whether a private key belongs to a public one, as it signs.

A file keeps the public half beside the private one, so that damage of the latter shows only in what it signs.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_PROBE = b"a key signs for its certificate"


def signs_for(key: ec.EllipticCurvePrivateKey, public: object) -> bool:
    """False also where `public` is of another kind."""
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        public.verify(key.sign(_PROBE, ec.ECDSA(hashes.SHA256())), _PROBE, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
