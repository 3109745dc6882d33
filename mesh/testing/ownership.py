"""Ownership that a test decides: everything at first, until it says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from mesh.ids import LaneId


class FakeOwnership:
    """Implements `mesh.ports.Ownership`. `give` says who runs what; a lane that is not named is ours."""

    is_shared = True

    def __init__(self, gateway: str = "gw-1") -> None:
        self.version = 1
        self.gateway = gateway
        self._others: Mapping[LaneId, str] = {}
        self._terms: dict[LaneId, int] = {}
        self._changed = asyncio.Event()

    def give(self, others: Mapping[LaneId, str]) -> None:
        """These lanes are run by the gateways named, all others by us."""
        for lane in others:
            self._terms[lane] = self._terms.get(lane, 1) + 1
        self._others = dict(others)
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_changed(self, version: int) -> int:
        while self.version == version:
            await self._changed.wait()
        return self.version

    def owns(self, lane: LaneId) -> bool:
        return lane not in self._others

    def term(self, lane: LaneId) -> int:
        return self._terms.get(lane, 1) if self.owns(lane) else 0

    def owner(self, lane: LaneId) -> str:
        return self._others.get(lane, self.gateway)

    def trouble(self) -> str:
        return ""

    async def leave(self) -> None:
        pass
