"""The transcript, and the decision on a redemption, step by step. The attacks are in tests/gateway/enrolment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mesh.trust.enrolment import (
    Accepted,
    InviteRecord,
    InviteState,
    Redemption,
    RedemptionReason,
    Refused,
    confirmation_phrase,
    judge,
    signed_digest,
    transcript_of,
)
from mesh.trust.invite import canonical
from mesh.trust.peerfile import PeerFile
from tests.support.trust import DAY, NOW, organization

ACME, GLOBEX = organization("acme.example"), organization("globex.example")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NONCE = b"n" * 32
NOW_MS = int(NOW.timestamp() * 1000)
RECORD = InviteRecord("ab" * 16, KEY.public_key().public_bytes_raw(), b"d" * 32, GLOBEX.org, NOW_MS, NOW_MS + 3_600_000)
IDENTITY = GLOBEX.identity()


def signed(**change: object) -> Redemption:
    bare = Redemption(
        RECORD.id, RECORD.digest, GLOBEX.org, canonical(GLOBEX.bundle.document()), IDENTITY.chain_der,
        ("globex.example:7463",), b"r" * 32,
    )  # fmt: skip
    bare = replace(bare, **change)  # type: ignore[arg-type]
    transcript = transcript_of(ACME.org, NONCE, bare)
    return replace(
        bare,
        invite_signature=KEY.sign(signed_digest("invite", transcript)),
        leaf_signature=IDENTITY.sign(signed_digest("redeemer", transcript)),
    )


def verdict(sent: Redemption, record: InviteRecord | None = RECORD, now: datetime = NOW) -> Accepted | Refused:
    return judge(record, sent, NONCE, ACME.bundle, [], now)


def reason(found: Accepted | Refused) -> RedemptionReason:
    assert isinstance(found, Refused), found
    return found.reason


def test_an_honest_redemption_is_accepted_and_waits_for_approval() -> None:
    found = verdict(signed())
    assert isinstance(found, Accepted)
    assert (found.bundle, found.addresses, found.approved) == (GLOBEX.bundle, ("globex.example:7463",), False)
    assert found.transcript == transcript_of(ACME.org, NONCE, signed())


def test_a_fingerprint_given_before_stands_for_the_approval() -> None:
    file = PeerFile(GLOBEX.bundle, ("globex.example:7463",))
    found = verdict(signed(), replace(RECORD, expect_fingerprint=file.fingerprint))
    assert isinstance(found, Accepted)
    assert found.approved
    assert (
        reason(verdict(signed(addresses=()), replace(RECORD, expect_fingerprint=file.fingerprint)))
        == "fingerprint-mismatch"
    )


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (replace(RECORD, used_ms=1), InviteState.USED),
        (replace(RECORD, withdrawn=True), InviteState.WITHDRAWN),
        (replace(RECORD, strikes=5), InviteState.BURNED),
        (replace(RECORD, expires_ms=NOW_MS), InviteState.EXPIRED),
        (replace(RECORD, strikes=4), InviteState.OPEN),
    ],
)
def test_only_an_open_invite_is_redeemed(record: InviteRecord, state: InviteState) -> None:
    assert record.state(NOW_MS) is state
    found = verdict(signed(), record)
    assert isinstance(found, Accepted) if state is InviteState.OPEN else reason(found) == "not-open"


def test_an_invite_that_ended_by_the_clock_is_not_redeemed() -> None:
    assert reason(verdict(signed(), now=NOW + timedelta(hours=1))) == "not-open"


def test_an_unknown_invite_is_no_strike() -> None:
    found = verdict(signed(), None)
    assert isinstance(found, Refused)
    assert (found.reason, found.strike) == (RedemptionReason.UNKNOWN_INVITE, False)


def test_only_a_wrong_invite_signature_is_a_strike() -> None:
    found = verdict(replace(signed(), invite_signature=bytes(64)))
    assert found == Refused(RedemptionReason.WRONG_SIGNATURE, "the invite key did not sign this", strike=True)
    refused = [verdict(replace(signed(), leaf_signature=b"")), verdict(signed(org="mallory.example"))]
    assert [each.strike for each in refused if isinstance(each, Refused)] == [False, False]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"invite_digest": bytes(32)}, "other-file"),
        ({"org": "acme.example"}, "wrong-domain"),
        ({"org": "globex.example\n"}, "wrong-domain"),
        ({"org": "gl\u043ebex.example"}, "wrong-domain"),
        ({"bundle": b"{"}, "bundle-refused"),
        ({"bundle": b"\xff\xfe"}, "bundle-refused"),
        ({"bundle": canonical(ACME.bundle.document())}, "bundle-refused"),
        ({"nonce": b"short"}, "bundle-refused"),
        ({"addresses": ("no port",)}, "bundle-refused"),
        ({"addresses": ("globex.example:1",) * 33}, "bundle-refused"),
        ({"chain": ()}, "leaf-refused"),
        ({"chain": (b"\x30rubbish",)}, "leaf-refused"),
        ({"chain": ACME.identity().chain_der}, "leaf-refused"),
        ({"chain": GLOBEX.identity().chain_der}, "leaf-refused"),
    ],
)
def test_each_step_refuses_with_its_reason(change: dict[str, object], expected: str) -> None:
    assert reason(verdict(signed(**change))) == expected


def test_an_expired_leaf_is_refused() -> None:
    late = NOW + 200 * DAY
    record = replace(RECORD, expires_ms=RECORD.expires_ms + 10**11)
    assert reason(verdict(signed(), record, late)) == "leaf-refused"


def test_both_sides_see_one_phrase_and_anything_else_gives_another() -> None:
    phrase = confirmation_phrase(transcript_of(ACME.org, NONCE, signed()))
    assert len(phrase) == 6
    others = [
        transcript_of(GLOBEX.org, NONCE, signed()),
        transcript_of(ACME.org, b"m" * 32, signed()),
        transcript_of(ACME.org, NONCE, signed(nonce=b"s" * 32)),
        transcript_of(ACME.org, NONCE, signed(bundle=b"{}")),
        transcript_of(ACME.org, NONCE, signed(addresses=())),
        transcript_of(ACME.org, NONCE, signed(invite_digest=bytes(32))),
        transcript_of(ACME.org, NONCE, signed(chain=())),
    ]
    assert len({phrase, *map(confirmation_phrase, others)}) == 1 + len(others)


def test_each_role_signs_something_else() -> None:
    transcript = bytes(32)
    assert len({signed_digest(role, transcript) for role in ("invite", "redeemer", "inviter")}) == 3


@given(
    st.binary(max_size=80), st.binary(max_size=80), st.text(max_size=80), st.lists(st.binary(max_size=40), max_size=2)
)
def test_anything_sent_is_refused_with_a_reason(data: bytes, nonce: bytes, org: str, chain: list[bytes]) -> None:
    sent = signed(bundle=data, nonce=nonce, org=org.encode("utf-8", "replace").decode(), chain=tuple(chain))
    assert isinstance(verdict(sent), Refused)
