from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.trust.bundle import Bundle
from mesh.trust.errors import BundleRefused, FingerprintMismatch, PeerFileRefused
from mesh.trust.peerfile import PeerFile, accept_peer_file, check_fingerprint, parse_peer_file
from tests.support.trust import DAY, NOW, organization

ACME, GLOBEX = organization("acme.example"), organization("globex.example")
FILE = PeerFile(ACME.bundle, ("gateway.acme.example:7443", "[::1]:7443"))
TEXT = FILE.to_json()


def changed(change: Callable[[dict[str, object]], object]) -> str:
    return json.dumps(change(json.loads(TEXT)))


def test_what_is_exported_is_what_is_read() -> None:
    file = parse_peer_file(TEXT, NOW)
    assert file == parse_peer_file(TEXT.encode(), NOW) == FILE
    assert (file.org, file.dns_name) == ("acme.example", "gateway.acme.example")


def test_addresses_may_be_left_out() -> None:
    assert parse_peer_file(PeerFile(ACME.bundle).to_json(), NOW).addresses == ()


def test_no_change_goes_unnoticed() -> None:
    with pytest.raises(PeerFileRefused, match="changed or damaged"):
        parse_peer_file(changed(lambda d: d | {"addresses": ["evil.example:7443"]}), NOW)
    swapped = GLOBEX.bundle.document() | {"org": "acme.example"}
    with pytest.raises(BundleRefused):
        parse_peer_file(changed(lambda d: d | {"bundle": swapped}), NOW)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TEXT[:-20], "it is not whole JSON"),
        ("", "it is not whole JSON"),
        (b"\xff\xfe\x00", "it is not whole JSON"),
        ("[" * 100_000, "it is not whole JSON"),
        ("[]", "its kind is not"),
        ("{}", "its kind is not"),
        (" " * (1 << 20) + TEXT, "it is larger than"),
        (changed(lambda d: d | {"version": 2}), "its version is 2, this gateway reads 1"),
        (changed(lambda d: d | {"version": True}), "its version is True"),
        (changed(lambda d: d | {"color": "red"}), "keys missing or unknown: color"),
        (changed(lambda d: {key: d[key] for key in d if key != "addresses"}), "keys missing or unknown: addresses"),
        (changed(lambda d: d | {"org": "globex.example"}), "says 'globex.example' but its bundle is of acme"),
        (changed(lambda d: d | {"dns_name": "gateway.evil.example"}), "its DNS name is not gateway.acme.example"),
        (changed(lambda d: d | {"fingerprint": "sha256:00"}), "changed or damaged"),
        (changed(lambda d: d | {"addresses": "x:1"}), "not a list"),
        (changed(lambda d: d | {"addresses": ["x:1"] * 33}), "not a list of at most 32"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence(text: str | bytes, why: str) -> None:
    with pytest.raises(PeerFileRefused, match=why):
        parse_peer_file(text, NOW)


@pytest.mark.parametrize(
    "address",
    ["host", "host:", ":1", "host:0", "host:65536", "https://host:1", "u@host:1", "host:1/x", "ho st:1", "host:1\n",
     "[::1]", "[::g]:1", "::1:1", "unix:x", 7, "unix:///tmp/x:1", "h\x00:1", "[1.2.3.4]:1"],
)  # fmt: skip
def test_an_address_is_host_and_port_only(address: object) -> None:
    with pytest.raises(PeerFileRefused, match="is not host:port"):
        parse_peer_file(changed(lambda d: d | {"addresses": [address]}), NOW)


def test_an_expired_bundle_is_refused() -> None:
    with pytest.raises(BundleRefused, match="expired"):
        parse_peer_file(TEXT, ACME.authority.certificate.not_valid_after_utc + DAY)


def test_the_fingerprint_is_compared_as_people_write_it() -> None:
    digits = FILE.fingerprint.removeprefix("sha256:")
    for written in (FILE.fingerprint, digits, digits.upper(), ":".join(digits[i : i + 2] for i in range(0, 64, 2))):
        check_fingerprint(FILE, written)
    for wrong in ("", "sha256:", digits[:-1], "é" * 64, PeerFile(GLOBEX.bundle).fingerprint):
        with pytest.raises(FingerprintMismatch):
            check_fingerprint(FILE, wrong)


def test_a_peer_is_another_organization_with_a_ca_of_its_own() -> None:
    accept_peer_file(FILE, GLOBEX.bundle, [], FILE.fingerprint)
    accept_peer_file(FILE, GLOBEX.bundle, [ACME.bundle], None)
    with pytest.raises(PeerFileRefused, match="our own organization"):
        accept_peer_file(FILE, ACME.bundle, [], None)
    with pytest.raises(FingerprintMismatch):
        accept_peer_file(FILE, GLOBEX.bundle, [], PeerFile(ACME.bundle).fingerprint)
    foreign = Bundle(organization("initech.example").org, 1, ACME.bundle.certificates, NOW)
    with pytest.raises(BundleRefused, match=r"known as one of initech\.example"):
        accept_peer_file(FILE, GLOBEX.bundle, [foreign], None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([*json.loads(TEXT), "bundle.org", "bundle.sequence", "bundle.created", "bundle.certificates"]),
    VALUES,
)
def test_any_value_at_any_key_gives_a_file_or_a_documented_error(key: str, value: object) -> None:
    document = json.loads(TEXT)
    outer, _, inner = key.partition(".")
    document[outer] = document[outer] | {inner: value} if inner else value
    with contextlib.suppress(MeshError):
        assert parse_peer_file(json.dumps(document), NOW) == FILE
