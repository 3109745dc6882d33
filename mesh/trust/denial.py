"""An organization's word that leaves of its own are dead: what is signed, and whether it is believed.

The signed bytes, lengths big-endian; the signature is ECDSA with SHA-256 over the 32 bytes of the digest:

    digest = SHA-256( label | u32 length, organization | u32 count | for each key hash, sorted: 32 bytes )

A. It concerns leaves of the organization that sends it, and of no other.
B. A leaf that is dead itself may not declare others dead. There is no date in it and none is needed: what is dead stays
   dead, so playing it back changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from mesh.errors import PeerError
from mesh.ids import OrgId
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.transcript import verify_proof

LABEL = b"stream-mesh leaf denial v1\x00"
MAX_KEYS = 1000
HASH_BYTES = 32


@dataclass(eq=False)
class DenialRefused(PeerError):
    org: str
    why: str

    code: ClassVar[str] = "denial-refused"
    sentence: ClassVar[str] = "{org} declares leaves dead in a way that is not believed: {why}"


@dataclass(frozen=True, slots=True)
class Denial:
    org: str
    """As it was sent; checked by `accept_denial`."""
    key_hashes: tuple[bytes, ...]
    signer: bytes = field(repr=False)
    """DER."""
    signature: bytes = field(repr=False)


def denial_digest(org: str, key_hashes: Collection[bytes]) -> bytes:
    """What is signed: 32 bytes."""
    name = org.encode()
    parts = [len(name).to_bytes(4, "big"), name, len(key_hashes).to_bytes(4, "big"), *sorted(key_hashes)]
    return hashlib.sha256(LABEL + b"".join(parts)).digest()


def accept_denial(denial: Denial, sender: OrgId, held: PeerTrust, now: datetime) -> list[str]:
    """The keys to put on the sender's deny list, as `mesh.trust.leaf.key_hash` writes them.

    Raises DenialRefused, LeafRefused, ProofRefused.
    """
    if denial.org != sender or held.bundle.org != sender:
        raise DenialRefused(sender, f"they are of {denial.org[:255]!r}")
    if not 1 <= len(denial.key_hashes) <= MAX_KEYS or any(len(each) != HASH_BYTES for each in denial.key_hashes):
        raise DenialRefused(sender, f"not 1 to {MAX_KEYS} hashes of {HASH_BYTES} bytes")
    leaf = verified(denial.signer, {sender: held}, now)
    verify_proof(leaf.certificate, denial_digest(denial.org, denial.key_hashes), denial.signature)
    return sorted({each.hex() for each in denial.key_hashes})
