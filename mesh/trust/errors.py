"""What verification of peers may raise. A refused leaf carries its reason as a value, for audit and `mesh peer why`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from mesh.errors import CallerError, PeerError


class LeafReason(StrEnum):
    """Why a leaf was refused. The names are stored in the audit log: never rename."""

    NO_CERTIFICATE = "no-certificate"
    MALFORMED_CERTIFICATE = "malformed-certificate"
    NO_URI_SAN = "no-uri-san"
    SEVERAL_URI_SANS = "several-uri-sans"
    MALFORMED_ID = "malformed-id"
    WRONG_PATH = "wrong-path"
    UNKNOWN_DOMAIN = "unknown-domain"
    PEER_NOT_ACTIVE = "peer-not-active"
    PATH_INVALID = "path-invalid"
    IS_CA = "is-ca"
    WRONG_KEY_USAGE = "wrong-key-usage"
    WRONG_EXTENDED_KEY_USAGE = "wrong-extended-key-usage"
    WRONG_DNS_SAN = "wrong-dns-san"
    REVOKED_BEFORE = "revoked-before"
    DENIED = "denied"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"


@dataclass(eq=False)
class LeafRefused(PeerError):
    """A gateway certificate failed one step of verification, the first in order."""

    reason: LeafReason
    detail: str
    subject: str = ""
    """What the certificate claims to be, unverified, cut to 255 characters; empty where it names nothing."""

    code: ClassVar[str] = "leaf-refused"
    sentence: ClassVar[str] = "the gateway certificate is refused ({reason}): {detail}"
    hint: ClassVar[str] = "see each step with: mesh peer why"


@dataclass(eq=False)
class BundleRefused(PeerError):
    """A set of CA certificates by which we will not verify anybody."""

    org: str
    why: str

    code: ClassVar[str] = "bundle-refused"
    sentence: ClassVar[str] = "the bundle of {org} is refused: {why}"
    hint: ClassVar[str] = "ask the peer's operator to export its bundle again"


@dataclass(eq=False)
class PeerFileRefused(CallerError):
    why: str

    code: ClassVar[str] = "peer-file-refused"
    sentence: ClassVar[str] = "this is not a usable peer file: {why}"
    hint: ClassVar[str] = "ask the peer's operator for the unchanged output of: mesh peer export"


@dataclass(eq=False)
class FingerprintMismatch(CallerError):
    expected: str
    actual: str

    code: ClassVar[str] = "fingerprint-mismatch"
    sentence: ClassVar[str] = "the peer file has fingerprint {actual}, expected {expected}"
    hint: ClassVar[str] = "do not add this peer: compare the fingerprint with its operator over another channel"


@dataclass(eq=False)
class ProofRefused(PeerError):
    why: str

    code: ClassVar[str] = "proof-refused"
    sentence: ClassVar[str] = "the identity proof of the peer is refused: {why}"
    hint: ClassVar[str] = "something between the gateways changes the handshake, or the peer signs with another key"
