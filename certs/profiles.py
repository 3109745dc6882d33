"""The two certificate profiles, as data and as builders: what we issue, and nothing else.

A. A CA vouches for one organization: URI SAN `spiffe://<org>`, path length 0, and a subject name of its own in each
   generation, so that two roots of one organization are never mistaken for each other.
B. A gateway leaf has exactly one URI SAN (its id) and one DNS SAN (the organization's logical name), both usages, and
   the authority key id: without it two CAs of one subject name lock each other out.
C. No name constraints: path validation in `cryptography` refuses chains with URI constraints.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate, CertificateBuilder
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import AuthorityExpired
from mesh.ids import GatewayId, OrgId
from mesh.trust.names import domain_uri, gateway_dns_name

CURVE = ec.SECP256R1()
MAX_COMMON_NAME = 64
"""RFC 5280, ub-common-name."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long certificates live. `backdated` forgives peers whose clock is behind ours.

    A leaf's begin is the only issue time it carries: one issued up to `backdated` after a peer's "revoked before" is
    dead as well, so issue with no backdating right after such a revocation.
    """

    ca: timedelta = timedelta(days=3650)
    leaf: timedelta = timedelta(days=90)
    backdated: timedelta = timedelta(minutes=5)


DEFAULT_LIFETIMES = Lifetimes()


def ca_builder(
    org: OrgId, generation: int, key: ec.EllipticCurvePublicKey, serial: int, now: datetime, lifetimes: Lifetimes
) -> CertificateBuilder:
    """A self-signed CA certificate, to be signed by the key that it carries. `generation` counts from 1."""
    name = ca_name(org, generation)
    return (
        _dated(key, serial, now, lifetimes.ca, lifetimes.backdated)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(domain_uri(org))]), critical=False)
    )


def gateway_builder(
    gateway: GatewayId,
    issuer: Certificate,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime,
    lifetimes: Lifetimes,
) -> CertificateBuilder:
    """A gateway's leaf, to be signed by the issuer's key. It lies within its issuer's dates.

    Raises AuthorityExpired.
    """
    if now >= issuer.not_valid_after_utc:
        raise AuthorityExpired(issuer.subject.rfc4514_string(), issuer.not_valid_after_utc.isoformat())
    names = [x509.UniformResourceIdentifier(str(gateway)), x509.DNSName(gateway_dns_name(gateway.org))]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    lifetime = min(lifetimes.leaf, issuer.not_valid_after_utc - now)
    backdated = min(lifetimes.backdated, now - issuer.not_valid_before_utc)
    return (
        _dated(key, serial, now, lifetime, backdated)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"gateway {gateway.name}"[:MAX_COMMON_NAME])]))
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )


def ca_name(org: OrgId, generation: int) -> x509.Name:
    """Organization names are longer than a common name may be, so they stand in the domain components."""
    components = [x509.NameAttribute(NameOID.DOMAIN_COMPONENT, label) for label in reversed(org.split("."))]
    return x509.Name([*components, x509.NameAttribute(NameOID.COMMON_NAME, f"Stream Mesh CA {generation}")])


def _dated(
    key: ec.EllipticCurvePublicKey, serial: int, now: datetime, lifetime: timedelta, backdated: timedelta
) -> CertificateBuilder:
    return (
        CertificateBuilder()
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - backdated)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
