"""What tests of the control state share: a state store in memory that can fail, and peers with real bundles."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from certs.authority import Authority
from certs.bundle import bundle_of
from gateway.peer import Peer
from mesh.cluster_errors import StateMoved
from mesh.ids import OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


class MemoryStore:
    """A ControlStore. `failure` is raised by the next put: before it stored anything, or after if `stores` is set."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.touched: dict[str, int] = {}
        self.version = 1
        self._changed = asyncio.Event()
        self.failure: BaseException | None = None
        self.stores = False

    async def load(self, prefix: str) -> dict[str, bytes]:
        return {key: value for key, value in self.entries.items() if key.startswith(prefix)}

    async def wait_changed(self, version: int) -> int:
        while self.version == version:
            await self._changed.wait()
        return self.version

    async def changes_since(self, version: int) -> tuple[int, dict[str, bytes | None]]:
        if version == 0:
            return self.version, dict(self.entries)
        return self.version, {key: self.entries.get(key) for key, at in self.touched.items() if at > version}

    async def change(self, entries: Mapping[str, bytes | None], version: int) -> int:
        if version != self.version:
            raise StateMoved("memory")
        await self.put(entries)
        return self.version

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        assert len({tuple(key.split("/")[:2]) for key in entries}) <= 1
        failure, self.failure = self.failure, None
        if failure is None or self.stores:
            self.version += 1
            self.touched |= dict.fromkeys(entries, self.version)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
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
