from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import Certificate
from cryptography.x509.oid import ExtensionOID

from certs.bundle import bundle_of
from certs.profiles import DEFAULT_LIFETIMES, ca_builder
from mesh.ids import OrgId
from mesh.trust.bundle import Bundle, check_bundle, refuse_overlap, validate_bundle
from mesh.trust.errors import BundleRefused
from mesh.trust.pem import certificates_from_pem, to_der, to_pem
from tests.support.trust import DAY, NOW, SECOND, organization

ACME, GLOBEX = organization("acme.example"), organization("globex.example")
NEXT = organization("acme.example", generation=2)
ROOT, NEXT_ROOT = ACME.authority.certificate, NEXT.authority.certificate


def bundle(*certificates: Certificate | bytes, org: OrgId = ACME.org) -> Bundle:
    return Bundle(org, 1, tuple(c if isinstance(c, bytes) else to_der(c) for c in certificates), NOW)


def signed_by(key: object, algorithm: hashes.HashAlgorithm | None = None) -> Certificate:
    builder = ca_builder(ACME.org, 7, key.public_key(), 1, NOW, DEFAULT_LIFETIMES)  # type: ignore[attr-defined]
    return builder.sign(key, algorithm)  # type: ignore[arg-type]


def soft() -> bytes:
    """A root with basicConstraints not critical, signed anew by its key."""
    builder = ca_builder(ACME.org, 7, ACME.authority.key.public_key(), 1, NOW, DEFAULT_LIFETIMES)
    builder._extensions[:] = [
        x509.Extension(e.oid, e.critical and e.oid != ExtensionOID.BASIC_CONSTRAINTS, e.value)
        for e in builder._extensions
    ]
    return to_der(ACME.sign(builder))


def test_one_and_two_generations_pass() -> None:
    validate_bundle(bundle(ROOT), NOW)
    validate_bundle(bundle(ROOT, NEXT_ROOT), NOW)


def test_it_survives_json() -> None:
    value = bundle_of(ACME.org, [ROOT, NEXT_ROOT], NOW, sequence=3)
    assert Bundle.from_json(value.to_json()) == value
    assert repr(value) == "Bundle(acme.example sequence 3, 2 certificates)"
    assert certificates_from_pem(value.pem()) == [ROOT, NEXT_ROOT]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (bundle(), "it holds 0 certificates"),
        (bundle(*[ROOT] * 17), "it holds 17 certificates"),
        (bundle(ROOT, ROOT), "two certificates have one subject name"),
        (bundle(b"rubbish"), "does not parse"),
        (bundle(to_der(ROOT) + b"\x00"), "does not parse"),
        (bundle(soft()), "it is not a CA certificate"),
        (bundle(ACME.leaf().certificate), "it is not a CA certificate"),
        (bundle(ROOT, GLOBEX.authority.certificate), "its URI SAN is not exactly spiffe://acme.example"),
        (bundle(ROOT, org=GLOBEX.org), "its URI SAN is not exactly spiffe://globex.example"),
        (bundle(signed_by(rsa.generate_private_key(65537, 1024), hashes.SHA256())), "its key is none of"),
        (bundle(signed_by(ec.generate_private_key(ec.SECP192R1()), hashes.SHA256())), "its key is none of"),
        (bundle(signed_by(ed25519.Ed25519PrivateKey.generate())), "its key is none of"),
        (bundle(ACME.sign(ca_builder(ACME.org, 7, NEXT.authority.key.public_key(), 1, NOW, DEFAULT_LIFETIMES))),
         "it is not signed by itself"),
        (bundle(ROOT, ACME.sign(ca_builder(ACME.org, 7, ROOT.public_key(), 1, NOW, DEFAULT_LIFETIMES))),  # type: ignore[arg-type]
         "two certificates have one key"),
    ],
)  # fmt: skip
def test_a_bad_bundle_is_refused(value: Bundle, why: str) -> None:
    with pytest.raises(BundleRefused, match=why):
        check_bundle(value)


def test_strong_keys_of_other_kinds_pass() -> None:
    check_bundle(bundle(signed_by(rsa.generate_private_key(65537, 2048), hashes.SHA256())))
    check_bundle(bundle(signed_by(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384())))


def test_an_expired_root_is_not_accepted_but_one_for_later_is() -> None:
    end = ROOT.not_valid_after_utc
    validate_bundle(bundle(ROOT), end)
    with pytest.raises(BundleRefused, match=f"expired on {end:%Y-%m-%d}"):
        validate_bundle(bundle(ROOT), end + SECOND)
    validate_bundle(bundle(ROOT), ROOT.not_valid_before_utc - DAY)


def test_a_ca_belongs_to_one_domain() -> None:
    refuse_overlap(bundle(ROOT), [bundle(ROOT), GLOBEX.bundle])
    with pytest.raises(BundleRefused, match=r"CA key that is known as one of globex\.example"):
        refuse_overlap(bundle(ROOT), [bundle(ROOT, org=GLOBEX.org)])
    builder = ca_builder(ACME.org, 1, NEXT.authority.key.public_key(), 1, NOW, DEFAULT_LIFETIMES)
    twin = builder.sign(NEXT.authority.key, hashes.SHA256())
    with pytest.raises(BundleRefused, match=r"subject name of one of globex\.example"):
        refuse_overlap(bundle(ROOT), [bundle(twin, org=GLOBEX.org)])


def test_an_unknown_curve_is_a_refusal_and_not_an_accident() -> None:
    # the named curve P-256 replaced by an object id that nobody assigned
    der = to_der(ROOT).replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f"))
    with pytest.raises(BundleRefused, match="does not parse"):
        check_bundle(bundle(der))


Change = Callable[[dict[str, object]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: [document],
        lambda document: document | {"extra": 1},
        lambda document: document | {"org": "ACME"},
        lambda document: document | {"org": 7},
        lambda document: document | {"sequence": 0},
        lambda document: document | {"sequence": True},
        lambda document: document | {"sequence": 1.0},
        lambda document: document | {"created": 7},
        lambda document: document | {"created": "yesterday"},
        lambda document: document | {"created": "2031-05-17T12:00:00"},
        lambda document: document | {"certificates": "x"},
        lambda document: document | {"certificates": [7]},
        lambda document: document | {"certificates": [""]},
        lambda document: document | {"certificates": ["garbage\n" + to_pem([ROOT])]},
        lambda document: document | {"certificates": [to_pem([ROOT]) + "garbage"]},
        lambda document: document | {"certificates": [to_pem([ROOT])[:-40]]},
        lambda document: document | {"certificates": [to_pem([ROOT]).replace("CERTIFICATE", "TRUSTED CERTIFICATE")]},
    ],
)
def test_json_out_of_form_is_refused(change: Change) -> None:
    document = json.loads(bundle(ROOT).to_json())
    with pytest.raises(BundleRefused):
        Bundle.from_json(json.dumps(change(document)))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null"])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(BundleRefused):
        Bundle.from_json(text)


def test_created_keeps_its_moment() -> None:
    value = replace(bundle(ROOT), created=NOW + 5 * SECOND)
    assert Bundle.from_json(value.to_json()).created == NOW + 5 * SECOND
