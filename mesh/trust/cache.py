"""A cache of verified leaves, so that a call costs a hash and not a path validation (0.4 ms).

A. An entry counts only while the peer's whole trust (state, bundle, revocations) equals the one it was verified by:
   suspending a peer needs no invalidation here.
B. It is at most `MAX_AGE` old and the clock has not gone back; the leaf's own end is checked each time.
C. Refusals are not cached: they are rare, and a stranger must not be able to push a good leaf out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from mesh.ids import GatewayId, OrgId
from mesh.trust.leaf import PeerTrust, VerifiedLeaf, verified

MAX_AGE = timedelta(seconds=60)
"""Bounds what a mistake in A could cost."""
CAPACITY = 1024
"""Gateways of all peers that speak within a minute; a full cache drops its oldest entry."""


class _Entry(NamedTuple):
    trust: PeerTrust
    leaf: VerifiedLeaf
    at: datetime


class VerificationCache:
    def __init__(self, max_age: timedelta = MAX_AGE, capacity: int = CAPACITY) -> None:
        self._max_age = max_age
        self._capacity = capacity
        self._entries: dict[bytes, _Entry] = {}

    def __repr__(self) -> str:
        return f"VerificationCache({len(self._entries)} of {self._capacity} leaves)"

    def verify(self, data: bytes, peers: Mapping[OrgId, PeerTrust], now: datetime) -> GatewayId:
        """As `verify_leaf`, answered from memory where rules A and B allow. Raises LeafRefused."""
        return self.verified(data, peers, now).id

    def verified(self, data: bytes, peers: Mapping[OrgId, PeerTrust], now: datetime) -> VerifiedLeaf:
        digest = hashlib.sha256(data).digest()
        entry = self._entries.get(digest)
        if entry is not None and self._holds(entry, peers, now):
            return entry.leaf
        self._entries.pop(digest, None)
        leaf = verified(data, peers, now)
        if len(self._entries) >= self._capacity:
            del self._entries[next(iter(self._entries))]
        self._entries[digest] = _Entry(peers[leaf.id.org], leaf, now)
        return leaf

    def _holds(self, entry: _Entry, peers: Mapping[OrgId, PeerTrust], now: datetime) -> bool:
        return (
            entry.at <= now <= min(entry.at + self._max_age, entry.leaf.certificate.not_valid_after_utc)
            and peers.get(entry.leaf.id.org) == entry.trust
        )
