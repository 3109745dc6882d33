"""What comes from organizations that we do not know yet, or know: invites, words, redemptions, peer files, bundles,
certificates. Codes and signatures are mostly made right again, as a malicious inviter would make them.
"""

from __future__ import annotations

import contextlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.rotation.messages import parsed
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.trust.bundle import Bundle, validate_bundle
from mesh.trust.enrolment import (
    Accepted,
    InviteRecord,
    Redemption,
    judge,
    signed_digest,
    transcript_of,
)
from mesh.trust.invite import (
    CLOCK_TOLERANCE,
    MAC_LABEL,
    SIGNATURE_LABEL,
    Invite,
    InviteKeys,
    canonical,
    check_invite,
    parse_invite,
    seal,
    to_json,
)
from mesh.trust.leaf import explain_leaf, verify_leaf
from mesh.trust.peerfile import PeerFile, accept_peer_file, parse_peer_file
from mesh.trust.pem import certificates_from_pem, leaf_from, to_der, to_pem
from mesh.trust.update import accept_update, bundle_digest, created_ms
from mesh.trust.words import parse_words, spoken, words_of
from mesh.wire.v1 import trust_pb2
from tests.fuzz.findings import ACCEPTED, outcome, said
from tests.fuzz.keys import fixed
from tests.fuzz.mutate import deep, mutated, mutated_json
from tests.support.trust import DAY, NOW, Organization

_DEEP_SHARE = 0.002
_RIGHT = 0.85
"""How often codes and signatures are made right again."""
_NONCE = bytes(range(32))
"""The inviter's."""


def acme() -> Organization:
    return fixed("acme.example").held


def globex() -> Organization:
    return fixed("globex.example").held


# --- invites


class _Inviter(NamedTuple):
    keys: InviteKeys
    text: bytes
    sign: Callable[[bytes], bytes]


@cache
def _inviter() -> _Inviter:
    """An invite of acme's; its keys are made up, since words to keys takes a tenth of a second."""
    leaf, sign = to_der(fixed("acme.example").leaf.certificate), fixed("acme.example").sign
    keys = InviteKeys(Ed25519PrivateKey.from_private_bytes(bytes(32)), bytes(32))
    invite = Invite(
        "0" * 32, bytes(16), acme().bundle, ("one.acme.example:7463",), ("one.acme.example:7464",), NOW, NOW + DAY
    )
    file = seal(invite, keys, [leaf], sign)
    return _Inviter(keys, to_json(file).encode(), sign)


def invite_mutant(random: Random) -> bytes:
    inviter = _inviter()
    if random.random() < _DEEP_SHARE:
        return deep(random)
    data = mutated_json(inviter.text, random)
    return _resealed(data, inviter, random) if random.random() < _RIGHT else data


def _resealed(data: bytes, inviter: _Inviter, random: Random) -> bytes:
    """The code, and mostly the signature, that its content asks for."""
    import hashlib
    import hmac

    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            return data
        if random.random() < 0.3:
            content = {key: value for key, value in document.items() if key not in {"signature", "mac"}}
            digest = hashlib.sha256(SIGNATURE_LABEL + canonical(content)).digest()
            document["signature"] = b64encode(inviter.sign(digest)).decode()
        content = {key: value for key, value in document.items() if key != "mac"}
        mac = hmac.digest(inviter.keys.mac, MAC_LABEL + canonical(content), "sha256")
        return json.dumps(document | {"mac": b64encode(mac).decode()}).encode()
    except (ValueError, RecursionError):
        return data


def check_invite_bytes(data: bytes) -> str:
    def parse() -> None:
        file = parse_invite(data)
        check_invite(file, _inviter().keys, globex().bundle, [], NOW + CLOCK_TOLERANCE)

    return outcome(parse)


# --- words


def words_mutant(random: Random) -> bytes:
    text = spoken(words_of(random.randbytes(9)))
    if random.random() < 0.4:
        text = random.choice((text.upper(), text.replace(" ", "-"), f"  {text},", text.replace(" ", "\t\n")))
    return mutated(text.encode(), random) if random.random() < 0.8 else text.encode()


def check_words(data: bytes) -> str:
    return outcome(lambda: parse_words(data.decode("utf-8", "surrogateescape")))


# --- redemptions


def redeem_mutant(random: Random) -> bytes:
    """A redemption as JSON of its fields, bytes as base64: signed anew, mostly, by the invite's key and by the leaf."""
    fields = _redemption()
    for _ in range(random.choice((0, 1, 1, 2))):
        name = random.choice(list(fields))
        value = fields[name]
        if name == "addresses":
            fields[name] = random.choice(([], ["a:1"] * 40, ["a"], ["\0:1"], ["a:99999"], ["x" * 300 + ":1"], ["é:1"]))
        elif name == "bundle":
            fields[name] = _b64(mutated_json(b64decode(value), random))
        elif name == "org":
            fields[name] = random.choice(("acme.example", "", "x" * 5000, "evil.example", "globex.example\0", "\ud800"))
        elif name == "chain":
            fields[name] = random.choice(([], [_b64(mutated(b64decode(_redemption()["chain"][0]), random))], value * 5))
        else:
            fields[name] = _b64(mutated(b64decode(value), random))
    sign = [random.random() < _RIGHT, random.random() < _RIGHT]
    return json.dumps({"fields": fields, "sign": sign}).encode()


@cache
def _redeemer() -> tuple[bytes, Callable[[bytes], bytes]]:
    return to_der(fixed("globex.example").leaf.certificate), fixed("globex.example").sign


def _redemption() -> dict[str, Any]:
    leaf, _ = _redeemer()
    return {
        "invite_digest": _b64(bytes(32)),
        "org": "globex.example",
        "bundle": _b64(globex().bundle.to_json().encode()),
        "chain": [_b64(leaf)],
        "addresses": ["one.globex.example:7463"],
        "nonce": _b64(bytes(32)),
        "invite_signature": _b64(bytes(64)),
        "leaf_signature": _b64(bytes(64)),
    }


def check_redeem(data: bytes) -> str:
    try:
        redemption = _built(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unbuilt"
    key = _inviter().keys
    expires = int((NOW + DAY).timestamp() * 1000)
    record = InviteRecord("0" * 32, key.public, bytes(32), OrgId("globex.example"), 0, expires)
    verdict = judge(record, redemption, _NONCE, acme().bundle, [], NOW)
    return ACCEPTED if isinstance(verdict, Accepted) else verdict.reason.value


def _built(document: Any) -> Redemption:
    fields = document["fields"]
    raw = {name: b64decode(fields[name]) for name in ("invite_digest", "bundle", "nonce")}
    signatures = {name: b64decode(fields[name]) for name in ("invite_signature", "leaf_signature")}
    chain, addresses = tuple(map(b64decode, fields["chain"])), tuple(fields["addresses"])
    # what protobuf would not let through: texts that are no UTF-8
    org = fields["org"].encode("utf-8", "replace").decode()
    plain = Redemption("0" * 32, raw["invite_digest"], org, raw["bundle"], chain, addresses, raw["nonce"], **signatures)
    transcript = transcript_of(acme().org, _NONCE, plain)
    by_invite, by_leaf = document["sign"]
    if by_invite:
        signatures["invite_signature"] = _inviter().keys.invite.sign(signed_digest("invite", transcript))
    if by_leaf:
        signatures["leaf_signature"] = _redeemer()[1](signed_digest("redeemer", transcript))
    return Redemption("0" * 32, raw["invite_digest"], org, raw["bundle"], chain, addresses, raw["nonce"], **signatures)


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


# --- peer files, bundles, updates, certificates


@cache
def _peer_file() -> bytes:
    return PeerFile(acme().bundle, ("one.acme.example:7463", "[2001:db8::1]:7463")).to_json().encode()


def peer_file_mutant(random: Random) -> bytes:
    if random.random() < _DEEP_SHARE:
        return deep(random)
    data = mutated_json(_peer_file(), random)
    return _refingered(data) if random.random() < _RIGHT else data


def _refingered(data: bytes) -> bytes:
    """The fingerprint that the content asks for."""
    import hashlib

    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            return data
        content = {key: value for key, value in document.items() if key != "fingerprint"}
        canonical_bytes = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        return json.dumps(document | {"fingerprint": "sha256:" + hashlib.sha256(canonical_bytes).hexdigest()}).encode()
    except (ValueError, RecursionError):
        return data


def check_peer_file(data: bytes) -> str:
    def parse() -> None:
        file = parse_peer_file(data, NOW)
        accept_peer_file(file, globex().bundle, [], None)
        if parse_peer_file(file.to_json(), NOW) != file:
            raise AssertionError("a peer file does not read as it was written")

    return outcome(parse)


def bundle_mutant(random: Random) -> bytes:
    if random.random() < _DEEP_SHARE:
        return deep(random)
    document = json.loads(acme().bundle.to_json())
    if random.random() < 0.4:  # the certificate's own bytes
        name = next(key for key, value in document.items() if isinstance(value, list))
        held = document[name]
        pem = held[0] if isinstance(held[0], str) else ""
        if "BEGIN" in pem:
            der = mutated(to_der(certificates_from_pem(pem)[0]), random)
            document[name] = [f"-----BEGIN CERTIFICATE-----\n{_b64(der)}\n-----END CERTIFICATE-----\n"]
        else:
            document[name] = [_b64(mutated(b64decode(pem), random))]
        return json.dumps(document).encode()
    return mutated_json(json.dumps(document).encode(), random)


def check_bundle(data: bytes) -> str:
    return outcome(lambda: validate_bundle(Bundle.from_json(data.decode("utf-8", "replace")), NOW))


@cache
def _update() -> bytes:
    grown = Bundle(acme().org, 2, acme().bundle.certificates, NOW)
    message = trust_pb2.BundleUpdate(
        organization=grown.org,
        sequence=grown.sequence,
        certificates=grown.certificates,
        created_ms=created_ms(grown),
        signer=to_der(fixed("acme.example").leaf.certificate),
        signature=fixed("acme.example").sign(bundle_digest(grown)),
    )
    return message.SerializeToString(deterministic=True)


def update_mutant(random: Random) -> bytes:
    return mutated(_update(), random)


def check_update(data: bytes) -> str:
    message = trust_pb2.BundleUpdate()
    try:
        message.ParseFromString(data)
    except Exception:  # protobuf's own refusal, which gRPC answers
        return "not-protobuf"
    return outcome(lambda: accept_update(parsed(message), acme().org, acme().trust(), [globex().bundle], NOW))


@cache
def _leaves() -> tuple[bytes, ...]:
    leaf = fixed("acme.example").leaf.certificate
    return to_der(leaf), to_pem([leaf]).encode(), to_der(acme().authority.certificate)


def certificate_mutant(random: Random) -> bytes:
    data = random.choice(_leaves())
    return mutated(data, random) if random.random() < 0.95 else data


def check_certificate(data: bytes) -> str:
    peers = {acme().org: acme().trust()}
    with contextlib.suppress(ValueError):
        certificates_from_pem(data.decode("utf-8", "replace"))
    with contextlib.suppress(ValueError):
        leaf_from(data)
    explain_leaf(data, peers, NOW)
    try:
        verify_leaf(data, peers, NOW)
    except MeshError as error:
        return said(error)
    return ACCEPTED
