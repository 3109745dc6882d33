"""What we have seen of peers, for people: the leaves they presented, accepted or refused, and when links were alive.

Nothing here decides. What strangers can put in is bounded: one refused leaf a claimed domain, the oldest go first.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh.ids import OrgId
from mesh.trust.errors import LeafRefused
from mesh.trust.pem import MAX_CERTIFICATE_BYTES

MAX_REFUSED = 256
MAX_PRESENTED_BYTES = 2 * MAX_CERTIFICATE_BYTES
"""As PEM, which is how gRPC shows it."""


class Presented(NamedTuple):
    """A leaf as it came, DER or PEM, and why it was refused; empty where it was not."""

    certificate: bytes
    at_ms: int
    refused: str = ""


class Sight:
    def __init__(self) -> None:
        self._accepted: dict[OrgId, Presented] = {}
        self._refused: dict[str, Presented] = {}
        self._alive: dict[tuple[OrgId, str], int] = {}

    def __repr__(self) -> str:
        return f"<Sight {len(self._accepted)} accepted, {len(self._refused)} refused>"

    def accepted(self, org: OrgId, certificate: bytes, at_ms: int) -> None:
        self._accepted[org] = Presented(certificate, at_ms)

    def refused(self, certificate: bytes, error: LeafRefused, at_ms: int) -> None:
        """Under the domain that the leaf claims, unverified."""
        if not certificate or len(certificate) > MAX_PRESENTED_BYTES:
            return
        claimed = error.subject.removeprefix("spiffe://").partition("/")[0]
        self._refused.pop(claimed, None)
        if len(self._refused) >= MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[claimed] = Presented(certificate, at_ms, error.reason)

    def leaves(self, org: str) -> list[Presented]:
        """The last accepted and the last refused leaf that claimed to be of `org`, the newer first."""
        found = [self._accepted.get(org), self._refused.get(org)]  # type: ignore[call-overload]  # a text is its key
        return sorted((each for each in found if each is not None), key=lambda each: -each.at_ms)

    def alive(self, org: OrgId, role: str, at_ms: int) -> None:
        self._alive[org, role] = at_ms

    def last_alive(self, org: OrgId) -> dict[str, int]:
        """When a link of each role was last open; only roles that ever were."""
        return {role: at_ms for (each, role), at_ms in self._alive.items() if each == org}
