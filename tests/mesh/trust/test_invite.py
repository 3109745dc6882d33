"""The invite file: what passes, and everything about it that must not."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mesh.trust.invite
from mesh.errors import MeshError
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment_errors import InviteExpired, InviteNotYetValid, InviteRefused, InviteUnfit
from mesh.trust.errors import BundleRefused
from mesh.trust.invite import Invite, InviteFile, InviteKeys, check_invite, derive, parse_invite, seal, to_json
from mesh.trust.words import words_of
from tests.support.trust import DAY, NOW, SECOND, Organization, organization

ACME, GLOBEX = organization("acme.example"), organization("globex.example")
WORDS = words_of(b"some bits here")
SALT = bytes(range(16))


@pytest.fixture(scope="module", autouse=True)
def _cheap() -> Any:
    kept, mesh.trust.invite.SCRYPT_N = mesh.trust.invite.SCRYPT_N, 1 << 4
    yield
    mesh.trust.invite.SCRYPT_N = kept


def keys() -> InviteKeys:
    return derive(WORDS, SALT)


def invite(side: Organization = ACME) -> Invite:
    return Invite(
        "ab" * 16, SALT, side.bundle, ("acme.example:7463",), ("acme.example:7464",), NOW, NOW + timedelta(hours=24)
    )


def sealed(made: Invite | None = None, side: Organization = ACME) -> InviteFile:
    identity = side.identity()
    return seal(made or invite(side), keys(), identity.chain_der, identity.sign)


def checked(file: InviteFile, known: tuple[Bundle, ...] = (), own: Bundle = GLOBEX.bundle, now: Any = NOW) -> Invite:
    return check_invite(file, keys(), own, known, now)


def resealed(change: dict[str, object], side: Organization = ACME) -> InviteFile:
    """A file with changed content whose code and signature fit."""
    document = dict(sealed().document) | change
    document["signature"] = b64encode(side.identity().sign(mesh.trust.invite._signed(document))).decode()
    document["mac"] = b64encode(mesh.trust.invite._mac(keys(), document)).decode()
    return InviteFile(document, SALT)


def test_what_is_sealed_is_read_again() -> None:
    file = parse_invite(to_json(sealed()))
    assert checked(file) == invite()
    assert file.digest == sealed(invite()).digest or len(file.digest) == 32  # ECDSA signs differently each time
    assert invite().server_name == "gateway.acme.example"


def test_no_secret_is_in_the_file_or_in_a_repr() -> None:
    file, secret = sealed(), keys()
    for hidden in (secret.public, secret.mac, secret.invite.private_bytes_raw()):
        assert hidden.hex() not in to_json(file)
        assert b64encode(hidden).decode() not in to_json(file)
        assert repr(hidden)[2:-1] not in repr(secret) + repr(file)
    assert not set(WORDS) & set(to_json(file).replace('"', " ").split())


def test_the_same_words_and_salt_give_the_same_keys_and_others_do_not() -> None:
    assert keys().public == keys().public
    assert derive(words_of(b"other bits"), SALT).public != keys().public
    assert derive(WORDS, bytes(16)).public != keys().public


def test_the_price_of_a_guess_is_fixed_by_the_version() -> None:
    # what scrypt makes of this costs 64 MiB: a cheaper one would read no file of version 1
    mesh.trust.invite.SCRYPT_N, kept = 1 << 16, mesh.trust.invite.SCRYPT_N
    try:
        dear = keys().public
    finally:
        mesh.trust.invite.SCRYPT_N = kept
    assert dear != keys().public


def test_wrong_words_do_not_fit() -> None:
    with pytest.raises(InviteUnfit) as caught:
        check_invite(sealed(), derive(words_of(b"other bits"), SALT), GLOBEX.bundle, (), NOW)
    assert not any(word in str(caught.value).split() for word in WORDS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("org", "mallory.example"),
        ("addresses", ["198.51.100.7:1"]),
        ("enrolment", ["198.51.100.7:1"]),
        ("expires", (NOW + 365 * DAY).isoformat()),
        ("server_name", "gateway.mallory.example"),
        ("id", "cd" * 16),
        ("signature", "AAAA"),
        ("mac", "AAAA"),
    ],
)
def test_any_altered_field_does_not_fit(key: str, value: object) -> None:
    document = json.loads(to_json(sealed())) | {key: value}
    with pytest.raises(InviteUnfit):
        checked(parse_invite(json.dumps(document)))


@pytest.mark.parametrize(
    ("now", "error"),
    [(NOW + 2 * DAY, InviteExpired), (NOW + timedelta(hours=24), InviteExpired), (NOW - DAY, InviteNotYetValid)],
)
def test_a_file_out_of_its_time_shows_both_clocks(now: Any, error: type[MeshError]) -> None:
    with pytest.raises(error) as caught:
        checked(sealed(), now=now)
    assert NOW.isoformat() in str(caught.value)
    assert now.isoformat() in str(caught.value)


def test_clocks_a_little_apart_do_no_harm() -> None:
    assert checked(sealed(), now=NOW - timedelta(minutes=4))
    assert checked(sealed(), now=NOW + timedelta(hours=24) - SECOND)


def test_a_file_signed_by_somebody_else_is_refused_even_with_the_words() -> None:
    false_acme = organization("acme.example", NOW, 2)
    with pytest.raises(InviteRefused, match="signature"):
        checked(resealed({}, false_acme))
    stranger = resealed({"chain": [sealed(side=GLOBEX).document["chain"][0]]}, GLOBEX)  # type: ignore[index]
    with pytest.raises(InviteRefused, match="signature"):
        checked(stranger)


def test_our_own_invite_is_refused() -> None:
    with pytest.raises(InviteRefused, match="our own organization"):
        checked(sealed(), own=ACME.bundle)


def test_a_ca_key_of_somebody_else_is_refused() -> None:
    stolen = replace(ACME.bundle, org=organization("initech.example").org)
    with pytest.raises(BundleRefused, match="known as one of initech"):
        checked(sealed(), known=(stolen,))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version is 2"),
        ({"version": "1"}, "version is '1'"),
        ({"kind": "stream-mesh peer"}, "kind"),
        ({"more": 1}, "more"),
        ({"salt": "00"}, "salt"),
        ({"salt": "AB" * 16}, "salt"),
        ({"id": "../../etc/passwd"}, "id"),
    ],
)
def test_another_form_is_refused_before_any_words_are_tried(change: dict[str, object], why: str) -> None:
    with pytest.raises(InviteRefused, match=why):
        parse_invite(json.dumps(dict(sealed().document) | change))


@pytest.mark.parametrize(
    "change",
    [
        {"addresses": ["http://acme.example:1"]},
        {"addresses": ["acme.example:1\u202e"]},
        {"addresses": ["\u0430cme.example:1"]},
        {"addresses": ["a:1\n"]},
        {"enrolment": []},
        {"enrolment": "acme.example:1"},
        {"created": "yesterday"},
        {"created": 1},
        {"expires": "2031-05-18T12:00:00"},
        {"org": "\u0430cme.example"},
        {"server_name": "gateway.globex.example"},
        {"bundle": {}},
        {"chain": []},
        {"chain": ["no"]},
    ],
    ids=repr,
)
def test_content_out_of_form_is_refused_even_with_the_words(change: dict[str, object]) -> None:
    with pytest.raises((InviteRefused, BundleRefused)) as caught:
        checked(resealed(change))
    assert all(character.isprintable() for character in str(caught.value))


def test_every_truncation_is_refused() -> None:
    text = to_json(sealed()).rstrip()
    for length in range(0, len(text), 37):
        with pytest.raises(InviteRefused):
            parse_invite(text[:length])


@settings(max_examples=60)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda each: st.lists(each, max_size=3)))
def test_any_value_in_any_field_is_refused_with_a_sentence(value: Any) -> None:
    for key in sealed().document:
        with pytest.raises(MeshError):
            checked(parse_invite(json.dumps(dict(sealed().document) | {key: value})))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InviteRefused):
        parse_invite(data)
