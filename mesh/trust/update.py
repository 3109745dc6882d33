"""A peer's new bundle: what is signed, and whether it takes the place of the one we hold.

The signed bytes, lengths and numbers big-endian; the signature is ECDSA with SHA-256 over the 32 bytes of the digest:

    digest = SHA-256( label | u32 length, organization | u64 sequence | u64 created_ms
                      | u32 count | for each certificate: u32 length, DER )

A. Only a leaf that verifies under the bundle we hold may bring the next one: trust passes from one to the other.
B. Sequences rise. An older bundle, played back, changes nothing.
C. An update without certificates is a withdrawal: the domain wants nobody to speak for it any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from mesh.errors import PeerError
from mesh.ids import OrgId
from mesh.trust.bundle import Bundle, refuse_overlap, validate_bundle
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.transcript import verify_proof

LABEL = b"stream-mesh bundle v1\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class BundleStale(PeerError):
    org: str
    sequence: int
    held: int

    code: ClassVar[str] = "bundle-stale"
    sentence: ClassVar[str] = "the bundle of {org} has sequence {sequence}, but {held} is held already"
    hint: ClassVar[str] = "a restored publisher must be pinned anew: mesh peer repin FILE --expect-fingerprint F"


@dataclass(eq=False)
class BundleForeign(PeerError):
    org: str
    sender: str

    code: ClassVar[str] = "bundle-foreign"
    sentence: ClassVar[str] = "{sender} sent a bundle of {org}, and may speak only for itself"


@dataclass(frozen=True, slots=True)
class SignedBundle:
    bundle: Bundle
    signer: bytes = field(repr=False)
    """DER."""
    signature: bytes = field(repr=False)

    @property
    def withdraws(self) -> bool:
        return not self.bundle.certificates


def bundle_digest(bundle: Bundle) -> bytes:
    """What is signed, and what an acknowledgement names: 32 bytes."""
    org = bundle.org.encode()
    parts = [len(org).to_bytes(4, "big"), org]
    parts += [bundle.sequence.to_bytes(8, "big"), created_ms(bundle).to_bytes(8, "big")]
    parts.append(len(bundle.certificates).to_bytes(4, "big"))
    for certificate in bundle.certificates:
        parts += [len(certificate).to_bytes(4, "big"), certificate]
    return hashlib.sha256(LABEL + b"".join(parts)).digest()


def created_ms(bundle: Bundle) -> int:
    return (bundle.created - _EPOCH) // timedelta(milliseconds=1)


def from_created_ms(milliseconds: int) -> datetime:
    """Raises OverflowError for what is no date."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def accept_update(
    update: SignedBundle, sender: OrgId, held: PeerTrust, others: Iterable[Bundle], now: datetime
) -> Bundle:
    """The bundle that takes the place of `held.bundle`; for a withdrawal one without certificates.

    `others` are our own bundle and those of the other peers. Raises BundleForeign, BundleStale, LeafRefused,
    ProofRefused, BundleRefused.
    """
    bundle = update.bundle
    if bundle.org != sender or held.bundle.org != sender:
        raise BundleForeign(bundle.org, sender)
    if bundle.sequence <= held.bundle.sequence:
        raise BundleStale(bundle.org, bundle.sequence, held.bundle.sequence)
    leaf = verified(update.signer, {sender: held}, now)
    verify_proof(leaf.certificate, bundle_digest(bundle), update.signature)
    if not update.withdraws:
        validate_bundle(bundle, now)
        refuse_overlap(bundle, others)
    return bundle
