"""Bundles as messages of the wire, and back. What does not parse is refused, never repaired."""

from __future__ import annotations

from gateway.rpc.identity import Identity
from mesh.ids import IllegalName, OrgId
from mesh.trust.bundle import MAX_CERTIFICATES, Bundle
from mesh.trust.errors import BundleRefused
from mesh.trust.pem import to_der
from mesh.trust.update import SignedBundle, bundle_digest, created_ms, from_created_ms
from mesh.wire.v1 import trust_pb2 as pb

FEATURE = "bundles"
"""In Hello.features of a gateway that understands these messages."""
MAX_SEQUENCE = 1 << 53


def signed(bundle: Bundle, identity: Identity) -> pb.BundleUpdate:
    return pb.BundleUpdate(
        organization=bundle.org,
        sequence=bundle.sequence,
        certificates=bundle.certificates,
        created_ms=created_ms(bundle),
        signer=to_der(identity.leaf),
        signature=identity.sign(bundle_digest(bundle)),
    )


def parsed(update: pb.BundleUpdate) -> SignedBundle:
    """Raises BundleRefused."""
    try:
        org = OrgId(update.organization)
        created = from_created_ms(update.created_ms)
    except (IllegalName, OverflowError) as error:
        raise BundleRefused(update.organization[:255], "its organization or its date is none") from error
    if not 1 <= update.sequence < MAX_SEQUENCE or len(update.certificates) > MAX_CERTIFICATES:
        raise BundleRefused(org, f"sequence {update.sequence} with {len(update.certificates)} certificates")
    return SignedBundle(
        Bundle(org, update.sequence, tuple(update.certificates), created), update.signer, update.signature
    )


def acknowledgement(bundle: Bundle) -> pb.BundleAcknowledgement:
    return pb.BundleAcknowledgement(sequence=bundle.sequence, sha256=bundle_digest(bundle))


def names(given: pb.BundleAcknowledgement, bundle: Bundle) -> bool:
    """Whether it is this very bundle that the peer holds."""
    return given.sequence == bundle.sequence and given.sha256 == bundle_digest(bundle)
