"""What tests of the control state share: a state store in memory that can fail, and peers with real bundles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from certs.authority import Authority
from certs.bundle import bundle_of
from gateway.peer import Peer
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


class MemoryStore:
    """A StateStore. `failure` is raised by the next put: before it stored anything, or after where `stores` is set."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.failure: BaseException | None = None
        self.stores = False

    async def load(self, prefix: str) -> dict[str, bytes]:
        return {key: value for key, value in self.entries.items() if key.startswith(prefix)}

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        assert len({tuple(key.split("/")[:2]) for key in entries}) <= 1
        failure, self.failure = self.failure, None
        if failure is None or self.stores:
            self.entries |= {key: value for key, value in entries.items() if value is not None}
            for key in [key for key, value in entries.items() if value is None]:
                self.entries.pop(key, None)
        if failure is not None:
            raise failure


@cache
def bundle_for(org: str) -> Bundle:
    return bundle_of(OrgId(org), [Authority.create(OrgId(org), NOW).certificate], NOW)


def peer_of(org: str, state: PeerState = PeerState.ACTIVE) -> Peer:
    return Peer(bundle_for(org), (f"{org}:7463",), state, NOW_MS)
