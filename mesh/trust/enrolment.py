"""Redeeming an invite: what both sides sign, and the inviter's decision. Pure.

    transcript = SHA-256( label | each of these after its u32 length, big-endian:
        the inviter's domain, the digest of the invite file (which holds the inviter's bundle), the inviter's nonce,
        the redeemer's domain, its bundle (JSON, as sent), its leaf (DER), its addresses (with commas), its nonce )

The invite key, the redeemer's leaf key and the inviter's leaf key sign it, each with its role. The confirmation phrase
is six words of it: equal on both sides only if both saw the same two bundles.

A. An invite is used at most once. A wrong invite signature counts against it; after five it is dead.
B. `judge` says yes only if every check passed; each no has a reason for our log and audit, none for the other side.
C. A redeemer gets a pending peer of its own domain and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.addresses import legal_address
from mesh.trust.bundle import Bundle, refuse_overlap, validate_bundle
from mesh.trust.enrolment_errors import RedemptionMalformed
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.peerfile import MAX_ADDRESSES, PeerFile, check_fingerprint
from mesh.trust.transcript import verify_proof
from mesh.trust.words import Words, words_of

MAX_STRIKES = 5
NONCE_BYTES = 32
TRANSCRIPT_LABEL = b"stream-mesh enrolment v1\x00"
SIGNATURE_LABEL = b"stream-mesh enrolment signature v1\x00"
PHRASE_LABEL = b"stream-mesh enrolment phrase v1\x00"

Role: TypeAlias = Literal["invite", "redeemer", "inviter"]


class InviteState(StrEnum):
    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"
    BURNED = "burned"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class InviteRecord:
    """What the inviter keeps of an invite: nothing by which it could be redeemed."""

    id: str
    public_key: bytes
    digest: bytes
    """Of the file."""
    expected: OrgId
    created_ms: int
    expires_ms: int
    name: str = ""
    """The operator's own note."""
    expect_fingerprint: str = ""
    """Of the redeemer's peer file; stands for the comparison of phrases."""
    allow_private: bool = False
    strikes: int = 0
    used_ms: int | None = None
    withdrawn: bool = False

    def state(self, now_ms: int) -> InviteState:
        if self.used_ms is not None:
            return InviteState.USED
        if self.withdrawn:
            return InviteState.WITHDRAWN
        if self.strikes >= MAX_STRIKES:
            return InviteState.BURNED
        return InviteState.OPEN if now_ms < self.expires_ms else InviteState.EXPIRED


@dataclass(frozen=True, slots=True)
class Redemption:
    """What the redeemer sends, nothing of it believed."""

    invite_id: str
    invite_digest: bytes
    org: str
    bundle: bytes
    """JSON."""
    chain: tuple[bytes, ...]
    """DER, the leaf first."""
    addresses: tuple[str, ...]
    nonce: bytes
    invite_signature: bytes = b""
    leaf_signature: bytes = b""


class RedemptionReason(StrEnum):
    """Why a redemption was refused. The names are stored in the audit log: never rename."""

    UNKNOWN_INVITE = "unknown-invite"
    NOT_OPEN = "not-open"
    OTHER_FILE = "other-file"
    WRONG_SIGNATURE = "wrong-invite-signature"
    WRONG_DOMAIN = "wrong-domain"
    BUNDLE_REFUSED = "bundle-refused"
    LEAF_REFUSED = "leaf-refused"
    KNOWN_CA = "known-ca-key"
    FINGERPRINT = "fingerprint-mismatch"
    PEER_EXISTS = "peer-exists"


class Accepted(NamedTuple):
    bundle: Bundle
    addresses: tuple[str, ...]
    transcript: bytes
    approved: bool
    """The operator gave the fingerprint beforehand, and it fits."""


class Refused(NamedTuple):
    reason: RedemptionReason
    detail: str
    strike: bool = False
    """It counts against the invite."""


def transcript_of(inviter: OrgId, inviter_nonce: bytes, redemption: Redemption) -> bytes:
    """32 bytes; the signatures in `redemption` have no part in it."""
    parts = (
        inviter.encode(),
        redemption.invite_digest,
        inviter_nonce,
        redemption.org.encode(),
        redemption.bundle,
        redemption.chain[0] if redemption.chain else b"",
        ",".join(redemption.addresses).encode(),
        redemption.nonce,
    )
    joined = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.sha256(TRANSCRIPT_LABEL + joined).digest()


def signed_digest(role: Role, transcript: bytes) -> bytes:
    """What the key of that role signs."""
    return hashlib.sha256(SIGNATURE_LABEL + role.encode() + b"\x00" + transcript).digest()


def confirmation_phrase(transcript: bytes) -> Words:
    return words_of(hashlib.sha256(PHRASE_LABEL + transcript).digest())


def judge(
    record: InviteRecord | None,
    redemption: Redemption,
    nonce: bytes,
    own: Bundle,
    known: Iterable[Bundle],
    now: datetime,
) -> Accepted | Refused:
    """The inviter's decision. `nonce` is the one that this redeemer was sent, `known` the bundles of all peers."""
    if refusal := check_open(record, now):
        return refusal
    assert record is not None
    transcript = transcript_of(own.org, nonce, redemption)
    if refusal := check_invite_key(record, redemption, transcript):
        return refusal
    if refusal := check_domain(record, redemption):
        return refusal
    try:
        bundle = Bundle.from_json(redemption.bundle.decode("utf-8", "replace"))
        check_bundle_of(redemption, bundle, now)
    except MeshError as error:
        return Refused(RedemptionReason.BUNDLE_REFUSED, str(error))
    try:
        check_leaf(redemption, bundle, transcript, now)
    except MeshError as error:
        return Refused(RedemptionReason.LEAF_REFUSED, str(error))
    try:
        refuse_overlap(bundle, [own, *known])
    except MeshError as error:
        return Refused(RedemptionReason.KNOWN_CA, str(error))
    return _accepted(record, redemption, bundle, transcript)


def check_open(record: InviteRecord | None, now: datetime) -> Refused | None:
    if record is None:
        return Refused(RedemptionReason.UNKNOWN_INVITE, "no invite of ours has this id")
    state = record.state(int(now.timestamp() * 1000))
    if state is not InviteState.OPEN:
        return Refused(RedemptionReason.NOT_OPEN, f"the invite is {state}, it is {now.astimezone(UTC):%F %T}Z")
    return None


def check_invite_key(record: InviteRecord, redemption: Redemption, transcript: bytes) -> Refused | None:
    """Whether the redeemer knows the words. Only this may count as a strike: it is what guessing looks like."""
    if not verified_by_invite_key(record.public_key, signed_digest("invite", transcript), redemption.invite_signature):
        return Refused(RedemptionReason.WRONG_SIGNATURE, "the invite key did not sign this", strike=True)
    if redemption.invite_digest != record.digest:
        return Refused(RedemptionReason.OTHER_FILE, "it redeems another file of this id")
    return None


def check_domain(record: InviteRecord, redemption: Redemption) -> Refused | None:
    if redemption.org != record.expected:
        return Refused(RedemptionReason.WRONG_DOMAIN, f"it is {redemption.org!r:.80}, {record.expected} was invited")
    return None


def check_bundle_of(redemption: Redemption, bundle: Bundle, now: datetime) -> None:
    """Raises BundleRefused, RedemptionMalformed."""
    validate_bundle(bundle, now)
    if bundle.org != redemption.org:
        raise RedemptionMalformed(f"its bundle is of {bundle.org}")
    if len(redemption.nonce) != NONCE_BYTES:
        raise RedemptionMalformed(f"its nonce has {len(redemption.nonce)} bytes, not {NONCE_BYTES}")
    if len(redemption.addresses) > MAX_ADDRESSES or not all(map(legal_address, redemption.addresses)):
        raise RedemptionMalformed(f"its addresses are not a list of at most {MAX_ADDRESSES} of host:port")


def check_leaf(redemption: Redemption, bundle: Bundle, transcript: bytes, now: datetime) -> None:
    """Its bundle vouches for its leaf, and the leaf's key signed. Raises LeafRefused, ProofRefused."""
    data = redemption.chain[0] if redemption.chain else b""
    leaf = verified(data, {bundle.org: PeerTrust(PeerState.ACTIVE, bundle)}, now)
    verify_proof(leaf.certificate, signed_digest("redeemer", transcript), redemption.leaf_signature)


def verified_by_invite_key(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, digest)
    except (InvalidSignature, ValueError):
        return False
    return True


def _accepted(record: InviteRecord, redemption: Redemption, bundle: Bundle, transcript: bytes) -> Accepted | Refused:
    if record.expect_fingerprint:
        try:
            check_fingerprint(PeerFile(bundle, redemption.addresses), record.expect_fingerprint)
        except MeshError as error:
            return Refused(RedemptionReason.FINGERPRINT, str(error))
    return Accepted(bundle, redemption.addresses, transcript, approved=bool(record.expect_fingerprint))
