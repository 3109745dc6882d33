"""The bundle: the CA certificates by which one peer, and only that peer, is verified.

A. A bundle is checked before anything is verified by it: a bad one must never reach a TLS listener, where it could
   shut out other peers.
B. It holds CA certificates of its own domain only: their one URI SAN is `spiffe://<org>`.
C. Subject names and keys are distinct, so a leaf names its issuer without ambiguity in every TLS library.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

from mesh.ids import IllegalName, OrgId
from mesh.json_text import read_json
from mesh.trust.errors import BundleRefused
from mesh.trust.extensions import extension, uris
from mesh.trust.names import domain_uri
from mesh.trust.pem import certificate_from_der, certificates_from_pem, to_der, to_pem

MAX_CERTIFICATES = 16
"""A rotation needs two; each costs verification time on every uncached leaf."""
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Bundle:
    org: OrgId
    sequence: int
    """Rises by one with each change; a peer acknowledges it."""
    certificates: tuple[bytes, ...]
    """DER."""
    created: datetime

    def __repr__(self) -> str:
        return f"Bundle({self.org} sequence {self.sequence}, {len(self.certificates)} certificates)"

    def anchors(self) -> list[Certificate]:
        """Raises BundleRefused where one does not parse."""
        try:
            return [certificate_from_der(der) for der in self.certificates]
        except ValueError as error:
            raise BundleRefused(self.org, str(error)) from error

    def pem(self) -> str:
        """As a TLS library wants it, encoded anew, so nothing but certificates can be in it."""
        return to_pem(self.anchors())

    def to_json(self) -> str:
        return json.dumps(self.document(), indent=2)

    def document(self) -> dict[str, object]:
        return {
            "sequence": self.sequence,
            "created": self.created.astimezone(UTC).isoformat(),
            "org": str(self.org),
            "certificates": [to_pem([certificate]) for certificate in self.anchors()],
        }

    @classmethod
    def from_json(cls, text: str) -> Bundle:
        """The bundle in `text`, well-formed but not yet checked: see `check_bundle`. Raises BundleRefused."""
        try:
            document = read_json(text)
        except ValueError as error:
            raise BundleRefused("?", "not JSON") from error
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Bundle:
        if not isinstance(document, dict) or set(document) != {"org", "sequence", "created", "certificates"}:
            raise BundleRefused("?", "not an object of org, sequence, created and certificates")
        org = _org(document["org"])
        return cls(org, _sequence(org, document), _certificates(org, document), _created(org, document))


def check_bundle(bundle: Bundle) -> None:
    """Everything but dates: what must hold before a bundle is used. Raises BundleRefused."""
    if not 1 <= len(bundle.certificates) <= MAX_CERTIFICATES:
        raise BundleRefused(
            bundle.org, f"it holds {len(bundle.certificates)} certificates, not 1 to {MAX_CERTIFICATES}"
        )
    anchors = bundle.anchors()
    for anchor in anchors:
        for why in _faults(anchor, bundle.org):
            raise BundleRefused(bundle.org, f"{_name(anchor)}: {why}")
    if len({anchor.subject.public_bytes() for anchor in anchors}) < len(anchors):
        raise BundleRefused(bundle.org, "two certificates have one subject name")
    if len({spki(anchor) for anchor in anchors}) < len(anchors):
        raise BundleRefused(bundle.org, "two certificates have one key")


def validate_bundle(bundle: Bundle, now: datetime) -> None:
    """What must hold when a bundle is accepted: `check_bundle`, and no certificate expired. Raises BundleRefused.

    A root that is not valid yet passes: a rotation publishes the next one ahead of its use.
    """
    check_bundle(bundle)
    for anchor in bundle.anchors():
        if now > anchor.not_valid_after_utc:
            raise BundleRefused(bundle.org, f"{_name(anchor)}: expired on {anchor.not_valid_after_utc:%Y-%m-%d}")


def refuse_overlap(bundle: Bundle, others: Iterable[Bundle]) -> None:
    """A CA key, and a CA's subject name, belong to one domain. Raises BundleRefused if another has it too.

    A shared subject name could make a TLS library look for a leaf's issuer at the wrong peer and shut that peer out.
    """
    mine = bundle.anchors()
    keys, names = {spki(anchor) for anchor in mine}, {anchor.subject.public_bytes() for anchor in mine}
    for other in others:
        if other.org == bundle.org:
            continue
        for anchor in other.anchors():
            if spki(anchor) in keys:
                raise BundleRefused(bundle.org, f"it holds a CA key that is known as one of {other.org}")
            if anchor.subject.public_bytes() in names:
                raise BundleRefused(bundle.org, f"it holds a CA with the subject name of one of {other.org}")


def spki(certificate: Certificate) -> bytes:
    """The public key as DER: what the key of a certificate is compared by."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _faults(anchor: Certificate, org: OrgId) -> Iterator[str]:
    if not _is_ca(anchor):
        yield "it is not a CA certificate (critical basicConstraints, keyCertSign, subject key id)"
    if uris(anchor) != [domain_uri(org)]:
        yield f"its URI SAN is not exactly {domain_uri(org)}"
    if not _strong(anchor):
        yield "its key is none of EC on P-256, P-384 or P-521, or RSA of at least 2048 bits"
    elif not _self_signed(anchor):
        yield "it is not signed by itself"


def _is_ca(anchor: Certificate) -> bool:
    constraints = extension(anchor, x509.BasicConstraints)
    usage = extension(anchor, x509.KeyUsage)
    return (
        constraints is not None
        and constraints.critical
        and constraints.value.ca
        and usage is not None
        and usage.value.key_cert_sign
        and extension(anchor, x509.SubjectKeyIdentifier) is not None
    )


def _strong(anchor: Certificate) -> bool:
    """Ed25519 is left out: the path validation and BoringSSL both refuse chains signed by it."""
    key = anchor.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
    return isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS


def _self_signed(anchor: Certificate) -> bool:
    try:
        anchor.verify_directly_issued_by(anchor)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(anchor: Certificate) -> str:
    return f"the certificate {anchor.subject.rfc4514_string()[:80]!r}"


def _org(value: object) -> OrgId:
    try:
        return OrgId(value)  # type: ignore[arg-type]  # it checks the type itself
    except IllegalName as error:
        raise BundleRefused("?", str(error)) from error


def _sequence(org: OrgId, document: Mapping[str, object]) -> int:
    sequence = document["sequence"]
    if type(sequence) is not int or not 1 <= sequence < 1 << 53:
        raise BundleRefused(org, "its sequence is not a number from 1 on")
    return sequence


def _certificates(org: OrgId, document: Mapping[str, object]) -> tuple[bytes, ...]:
    blocks = document["certificates"]
    if not isinstance(blocks, list) or not all(isinstance(block, str) for block in blocks):
        raise BundleRefused(org, "its certificates are not a list of PEM texts")
    try:
        return tuple(to_der(one) for block in blocks[: MAX_CERTIFICATES + 1] for one in certificates_from_pem(block))
    except ValueError as error:
        raise BundleRefused(org, str(error)) from error


def _created(org: OrgId, document: Mapping[str, object]) -> datetime:
    try:
        created = datetime.fromisoformat(document["created"])  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError) as error:
        raise BundleRefused(org, "its date is not an ISO date") from error
    if created.tzinfo is None:
        raise BundleRefused(org, "its date has no time zone")
    return created
