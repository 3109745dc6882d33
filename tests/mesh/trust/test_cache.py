from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.shares import PeerState
from mesh.trust.cache import VerificationCache
from mesh.trust.errors import LeafReason, LeafRefused
from mesh.trust.leaf import key_hash
from mesh.trust.pem import to_der
from tests.support.trust import NOW, SECOND, organization

ACME = organization("acme.example")
LEAF = ACME.leaf().certificate
DATA = to_der(LEAF)
PEERS = {ACME.org: ACME.trust()}


def test_a_leaf_is_verified_once_a_minute() -> None:
    cache = VerificationCache()
    first = cache.verified(DATA, PEERS, NOW)
    assert str(first.id) == "spiffe://acme.example/gateway/one"
    assert cache.verified(DATA, PEERS, NOW + 60 * SECOND) is first
    assert cache.verified(DATA, PEERS, NOW + 61 * SECOND) is not first


def test_a_clock_that_went_back_asks_again() -> None:
    cache = VerificationCache()
    first = cache.verified(DATA, PEERS, NOW)
    assert cache.verified(DATA, PEERS, NOW - SECOND) is not first


def test_any_change_of_trust_counts_at_once() -> None:
    trust, cache = ACME.trust(), VerificationCache()
    changes = {
        LeafReason.PEER_NOT_ACTIVE: replace(trust, state=PeerState.SUSPENDED),
        LeafReason.REVOKED_BEFORE: replace(trust, revoked_before=NOW),
        LeafReason.DENIED: replace(trust, denied=frozenset({key_hash(LEAF)})),
        LeafReason.WRONG_DNS_SAN: replace(trust, dns_name="elsewhere.example"),
        LeafReason.PATH_INVALID: replace(trust, bundle=organization("acme.example", generation=2).bundle),
    }
    for reason, changed in changes.items():
        cache.verify(DATA, PEERS, NOW)
        with pytest.raises(LeafRefused) as caught:
            cache.verify(DATA, {ACME.org: changed}, NOW)
        assert caught.value.reason is reason
    cache.verify(DATA, PEERS, NOW)
    with pytest.raises(LeafRefused, match="unknown-domain"):
        cache.verify(DATA, {}, NOW)


def test_a_remembered_leaf_expires_at_its_own_end() -> None:
    cache, end = VerificationCache(), LEAF.not_valid_after_utc
    cache.verify(DATA, PEERS, end)
    with pytest.raises(LeafRefused, match="expired"):
        cache.verify(DATA, PEERS, end + SECOND)


def test_it_is_bounded_and_strangers_take_no_place() -> None:
    cache = VerificationCache(capacity=2)
    for _ in range(4):
        cache.verify(to_der(ACME.leaf().certificate), PEERS, NOW)
    with pytest.raises(LeafRefused):
        cache.verify(b"rubbish", PEERS, NOW)
    assert repr(cache) == "VerificationCache(2 of 2 leaves)"
