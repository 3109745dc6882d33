"""Verification of leaves: each refusal by its reason, and each control shown to be the one that refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.x509 import CertificateBuilder, ExtensionType
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.profiles import ca_builder
from mesh.ids import GatewayId, OrgId
from mesh.shares import PeerState
from mesh.trust.errors import LeafReason, LeafRefused
from mesh.trust.leaf import PeerTrust, explain_leaf, key_hash, verified, verify_leaf
from mesh.trust.pem import leaf_from, to_der, to_pem
from tests.support.trust import DAY, GATEWAY, NOW, SECOND, organization

ACME, GLOBEX = organization("acme.example"), organization("globex.example")
PEERS = {ACME.org: ACME.trust(), GLOBEX.org: GLOBEX.trust()}
GOOD = to_der(ACME.leaf().certificate)


def reason(data: bytes, peers: dict[OrgId, PeerTrust] = PEERS, now: datetime = NOW) -> LeafReason | None:
    """The reason for which both ways of asking refuse, None where both pass: they always agree."""
    steps = explain_leaf(data, peers, now)
    assert all(step.passed for step in steps[:-1])
    last, refused = steps[-1], None
    try:
        verify_leaf(data, peers, now)
    except LeafRefused as refusal:
        refused = (refusal.reason, refusal.detail)
    assert refused == (None if last.passed else (last.reason, last.detail))
    return last.reason


def forged(change: Callable[[CertificateBuilder], CertificateBuilder]) -> bytes:
    return to_der(ACME.forge(ACME.org, change).certificate)


def without(builder: CertificateBuilder, kind: type[ExtensionType]) -> CertificateBuilder:
    """The same builder less one extension, which the library's public interface cannot take away."""
    kept = [extension for extension in builder._extensions if extension.value.oid != kind.oid]
    assert len(kept) == len(builder._extensions) - 1
    builder._extensions[:] = kept
    return builder


def names(*values: x509.GeneralName) -> Callable[[CertificateBuilder], CertificateBuilder]:
    def change(builder: CertificateBuilder) -> CertificateBuilder:
        bare = without(builder, x509.SubjectAlternativeName)
        return bare.add_extension(x509.SubjectAlternativeName(values), critical=False) if values else bare

    return change


def uri(value: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(value)


DNS = x509.DNSName("gateway.acme.example")
CLIENT_ONLY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SERVER_ONLY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
OWN_URI = uri("spiffe://acme.example/gateway/one")


def test_a_good_leaf_passes_every_step_as_pem_and_as_der() -> None:
    pem = to_pem([ACME.leaf().certificate]).encode()
    assert verify_leaf(GOOD, PEERS, NOW) == verify_leaf(pem, PEERS, NOW) == GatewayId(ACME.org, GATEWAY)
    assert reason(GOOD) is None
    assert len(explain_leaf(GOOD, PEERS, NOW)) == 12


def test_a_leaf_of_another_peers_ca_with_this_peers_id_is_refused() -> None:
    stolen_name = GLOBEX.forge(ACME.org).certificate
    assert reason(to_der(stolen_name)) is LeafReason.PATH_INVALID
    # the control is the choice of the bundle: under a bundle that holds both roots the same leaf would pass
    both = replace(ACME.bundle, certificates=(*ACME.bundle.certificates, *GLOBEX.bundle.certificates))
    assert reason(to_der(stolen_name), {ACME.org: PeerTrust(PeerState.ACTIVE, both)}) is LeafReason.PATH_INVALID
    lax = x509.verification.PolicyBuilder().store(x509.verification.Store(both.anchors())).time(NOW)
    assert lax.build_client_verifier().verify(stolen_name, []).chain


def test_a_forged_leaf_is_told_by_its_path_even_if_its_usage_is_wrong_too() -> None:
    forgery = GLOBEX.forge(ACME.org, lambda builder: without(builder, x509.ExtendedKeyUsage)).certificate
    assert reason(to_der(forgery)) is LeafReason.PATH_INVALID


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), LeafReason.NO_URI_SAN),
        ((DNS,), LeafReason.NO_URI_SAN),
        ((OWN_URI, OWN_URI, DNS), LeafReason.SEVERAL_URI_SANS),
        ((OWN_URI, uri("spiffe://globex.example/gateway/one"), DNS), LeafReason.SEVERAL_URI_SANS),
        ((uri("https://acme.example/gateway/one"), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://acme.example:443/gateway/one"), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://me@acme.example/gateway/one"), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://acme.example/gateway/one?x"), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://acme.example/gateway/%6fne"), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://acme.example/gateway/.."), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://acme.example/gateway/one/two"), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://ACME.example/gateway/one"), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://acme.example/gateway/" + "o" * 2048), DNS), LeafReason.MALFORMED_ID),
        ((uri("spiffe://acme.example/workload/one"), DNS), LeafReason.WRONG_PATH),
        ((uri("spiffe://acme.example"), DNS), LeafReason.WRONG_PATH),
        ((uri("spiffe://initech.example/gateway/one"), DNS), LeafReason.UNKNOWN_DOMAIN),
        ((OWN_URI,), LeafReason.WRONG_DNS_SAN),
        ((OWN_URI, x509.DNSName("gateway.globex.example")), LeafReason.WRONG_DNS_SAN),
        ((OWN_URI, DNS, x509.DNSName("other.example")), LeafReason.WRONG_DNS_SAN),
        ((OWN_URI, DNS), None),
    ],
)
def test_alternative_names_decide(values: tuple[x509.GeneralName, ...], expected: LeafReason | None) -> None:
    assert reason(forged(names(*values))) is expected


def test_the_common_name_says_nothing() -> None:
    claim = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spiffe://globex.example/gateway/one")])

    def rename(builder: CertificateBuilder) -> CertificateBuilder:
        copy = without(builder, x509.SubjectAlternativeName)
        copy._subject_name = claim
        return copy.add_extension(x509.SubjectAlternativeName([OWN_URI, DNS]), critical=False)

    assert verify_leaf(forged(rename), PEERS, NOW).org == ACME.org


def usage(**flags: bool) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**(dict.fromkeys(every, False) | flags))


def swapped(value: ExtensionType, *, critical: bool) -> Callable[[CertificateBuilder], CertificateBuilder]:
    return lambda builder: without(builder, type(value)).add_extension(value, critical=critical)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swapped(x509.BasicConstraints(ca=True, path_length=None), critical=True), LeafReason.IS_CA),
        (swapped(usage(digital_signature=True, key_cert_sign=True), critical=True), LeafReason.IS_CA),
        (swapped(usage(key_agreement=True), critical=True), LeafReason.WRONG_KEY_USAGE),
        (swapped(usage(digital_signature=True), critical=False), LeafReason.WRONG_KEY_USAGE),
        (lambda builder: without(builder, x509.KeyUsage), LeafReason.WRONG_KEY_USAGE),
        (swapped(CLIENT_ONLY, critical=False), LeafReason.WRONG_EXTENDED_KEY_USAGE),
        (swapped(SERVER_ONLY, critical=False), LeafReason.WRONG_EXTENDED_KEY_USAGE),
        (lambda builder: without(builder, x509.ExtendedKeyUsage), LeafReason.WRONG_EXTENDED_KEY_USAGE),
        (lambda builder: without(builder, x509.AuthorityKeyIdentifier), LeafReason.PATH_INVALID),
    ],
)  # fmt: skip
def test_usage_decides(change: Callable[[CertificateBuilder], CertificateBuilder], expected: LeafReason) -> None:
    assert reason(forged(change)) is expected


def test_a_root_is_no_leaf_even_with_a_gateways_id() -> None:
    builder = ca_builder(ACME.org, 1, ACME.authority.key.public_key(), 1, NOW, ACME.authority.lifetimes)
    root = ACME.sign(names(OWN_URI, DNS)(builder))
    assert reason(to_der(root)) in {LeafReason.IS_CA, LeafReason.PATH_INVALID}


def test_there_is_no_path_over_an_intermediate() -> None:
    leaf, root = ACME.leaf().certificate, ACME.authority.certificate
    assert reason(to_pem([leaf, root]).encode()) is None  # what follows the leaf is not looked at
    between = organization("acme.example", generation=2)
    assert reason(to_pem([between.leaf().certificate, root]).encode()) is LeafReason.PATH_INVALID


@pytest.mark.parametrize("state", [PeerState.PENDING, PeerState.SUSPENDED, PeerState.REVOKED])
def test_only_an_active_peer_passes(state: PeerState) -> None:
    assert reason(GOOD, {ACME.org: ACME.trust(state)}) is LeafReason.PEER_NOT_ACTIVE


def test_a_bundle_filed_under_another_domain_vouches_for_nobody() -> None:
    assert reason(GOOD, {ACME.org: GLOBEX.trust()}) is LeafReason.UNKNOWN_DOMAIN


def test_dates_decide_at_the_second() -> None:
    leaf = ACME.leaf().certificate
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    assert reason(to_der(leaf), now=begin - SECOND) is LeafReason.NOT_YET_VALID
    assert reason(to_der(leaf), now=begin) is None
    assert reason(to_der(leaf), now=end) is None
    assert reason(to_der(leaf), now=end + SECOND) is LeafReason.EXPIRED


def test_an_expired_root_vouches_for_nobody() -> None:
    root = ACME.authority.certificate
    late = ACME.forge(ACME.org, lambda builder: _until(builder, root.not_valid_after_utc + 9 * DAY)).certificate
    assert reason(to_der(late), now=root.not_valid_after_utc) is None
    assert reason(to_der(late), now=root.not_valid_after_utc + SECOND) is LeafReason.PATH_INVALID


def _until(builder: CertificateBuilder, end: datetime) -> CertificateBuilder:
    builder._not_valid_after = end.replace(tzinfo=None)
    return builder


def test_revoked_before_kills_older_leaves_only() -> None:
    begin = ACME.leaf().certificate.not_valid_before_utc
    dead = {ACME.org: replace(ACME.trust(), revoked_before=begin + SECOND)}
    assert reason(GOOD, dead) is LeafReason.REVOKED_BEFORE
    assert reason(GOOD, {ACME.org: replace(ACME.trust(), revoked_before=begin)}) is None


def test_a_denied_key_is_dead_in_any_certificate() -> None:
    leaf = ACME.leaf()
    again = ACME.authority.certify(GATEWAY, leaf.key.public_key(), NOW)
    peers = {ACME.org: replace(ACME.trust(), denied=frozenset({key_hash(leaf.certificate)}))}
    assert reason(to_der(again), peers) is LeafReason.DENIED
    assert reason(to_der(again)) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", LeafReason.NO_CERTIFICATE),
        (b"hello", LeafReason.MALFORMED_CERTIFICATE),
        (b"\xff\xfe", LeafReason.MALFORMED_CERTIFICATE),
        (GOOD[:-1], LeafReason.MALFORMED_CERTIFICATE),
        (GOOD + b"\x00", LeafReason.MALFORMED_CERTIFICATE),
        (b"x" + to_pem([ACME.leaf().certificate]).encode(), LeafReason.MALFORMED_CERTIFICATE),
        (to_pem([ACME.leaf().certificate]).encode() + b"x", LeafReason.MALFORMED_CERTIFICATE),
        (b"\x30" + bytes(20_000), LeafReason.MALFORMED_CERTIFICATE),
    ],
)
def test_what_is_no_certificate_is_refused(data: bytes, expected: LeafReason) -> None:
    assert reason(data) is expected


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@pytest.mark.filterwarnings("ignore::UserWarning")  # the certificate library comments on some broken fields
def test_no_changed_byte_of_what_is_signed_passes_and_nothing_but_a_refusal_is_raised(position: int, flip: int) -> None:
    """Around what is signed there are spare bits: an even signature passes with one bit of it declared unused."""
    changed = bytearray(GOOD)
    changed[position] ^= flip
    if reason(bytes(changed)) is None:
        assert leaf_from(bytes(changed)).tbs_certificate_bytes == leaf_from(GOOD).tbs_certificate_bytes


def test_a_refusal_states_its_reason_and_the_unverified_claim() -> None:
    with pytest.raises(LeafRefused) as caught:
        verified(GOOD, {}, NOW)
    assert str(caught.value) == (
        "the gateway certificate is refused (unknown-domain): acme.example is not a peer of this organization"
    )
    assert caught.value.subject == "spiffe://acme.example/gateway/one"
