"""What the authority issues, read back from the certificates themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from certs.authority import Authority
from certs.errors import AuthorityExpired
from certs.profiles import Lifetimes
from mesh.ids import GatewayName, IllegalName, OrgId
from mesh.trust.bundle import validate_bundle
from mesh.trust.extensions import dns_names, extension, uris
from tests.support.trust import DAY, GATEWAY, NOW, SECOND, organization

ACME = organization("acme.example")
ROOT = ACME.authority.certificate
LEAF = ACME.leaf().certificate


def test_a_ca_certificate_follows_its_profile() -> None:
    constraints, usage = extension(ROOT, x509.BasicConstraints), extension(ROOT, x509.KeyUsage)
    assert constraints is not None
    assert usage is not None
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert not usage.value.digital_signature
    assert uris(ROOT) == ["spiffe://acme.example"]
    assert extension(ROOT, x509.SubjectKeyIdentifier) is not None
    assert isinstance(ROOT.public_key(), ec.EllipticCurvePublicKey)


def test_a_leaf_follows_its_profile() -> None:
    constraints, usage = extension(LEAF, x509.BasicConstraints), extension(LEAF, x509.KeyUsage)
    purposes = extension(LEAF, x509.ExtendedKeyUsage)
    issuer_id, root_id = extension(LEAF, x509.AuthorityKeyIdentifier), extension(ROOT, x509.SubjectKeyIdentifier)
    assert constraints is not None
    assert usage is not None
    assert purposes is not None
    assert issuer_id is not None
    assert root_id is not None
    assert not constraints.value.ca
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
    assert set(purposes.value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert issuer_id.value.key_identifier == root_id.value.digest
    assert (uris(LEAF), dns_names(LEAF)) == (["spiffe://acme.example/gateway/one"], ["gateway.acme.example"])
    assert extension(LEAF, x509.SubjectKeyIdentifier) is not None


@pytest.mark.parametrize("certificate", [ROOT, LEAF])
def test_no_certificate_has_name_constraints(certificate: x509.Certificate) -> None:
    assert ExtensionOID.NAME_CONSTRAINTS not in {found.oid for found in certificate.extensions}


def test_subject_names_differ_by_organization_and_generation() -> None:
    others = [organization("acme.example", generation=2), organization("globex.example")]
    assert len({ROOT.subject, *(other.authority.certificate.subject for other in others)}) == 3


def test_issuing_is_a_function_of_its_arguments() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    authority = Authority.create(OrgId("acme.example"), NOW, serials=lambda: 11, keys=lambda: key)
    leaf = authority.issue(GATEWAY, NOW).certificate
    assert (leaf.serial_number, leaf.public_key()) == (11, key.public_key())
    assert leaf.not_valid_before_utc == NOW - authority.lifetimes.backdated
    assert leaf.not_valid_after_utc == NOW + authority.lifetimes.leaf


def test_a_leaf_lies_within_its_issuers_dates() -> None:
    begin, end = ROOT.not_valid_before_utc, ROOT.not_valid_after_utc
    last = ACME.authority.issue(GATEWAY, end - DAY).certificate
    assert last.not_valid_after_utc == end
    first = ACME.authority.issue(GATEWAY, begin + SECOND).certificate
    assert first.not_valid_before_utc == begin
    with pytest.raises(AuthorityExpired, match="cannot issue"):
        ACME.authority.issue(GATEWAY, end)


def test_lifetimes_are_parameters() -> None:
    short = replace(ACME.authority, lifetimes=Lifetimes(leaf=DAY, backdated=0 * DAY))
    leaf = short.issue(GATEWAY, NOW).certificate
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (NOW, NOW + DAY)


@pytest.mark.parametrize("org", ["localhost", "a" * 240, ".".join(["long-label"] * 20)])
def test_any_legal_organization_gets_certificates_that_hold(org: str) -> None:
    one = organization(org)
    validate_bundle(one.bundle, NOW)
    assert one.authority.issue(GatewayName("g" * 63), NOW).certificate


def test_an_organization_too_long_for_a_dns_name_is_refused() -> None:
    with pytest.raises(IllegalName, match="at most 253"):
        organization("a" * 250).leaf()


def test_no_repr_shows_a_key() -> None:
    assert repr(ACME.authority) == "Authority(org='acme.example')"
    assert repr(ACME.leaf()) == "Issued()"
    assert repr(ACME.identity()) == "Identity(id=GatewayId(org='acme.example', name='one'))"
