"""Ownership where there is one gateway: it runs every lane."""

from __future__ import annotations

import asyncio

from mesh.ids import LaneId


class SoleOwner:
    """Implements `mesh.ports.Ownership` for a cluster that one gateway alone can use."""

    version = 1
    is_shared = False

    def __init__(self, gateway: str = "") -> None:
        self.gateway = gateway

    async def wait_changed(self, version: int) -> int:
        if version == self.version:
            await asyncio.Event().wait()
        return self.version

    def owns(self, lane: LaneId) -> bool:
        return True

    def term(self, lane: LaneId) -> int:
        return 1

    def owner(self, lane: LaneId) -> str:
        return self.gateway

    def may_write(self) -> bool:
        return True

    def trouble(self) -> str:
        return ""

    async def leave(self) -> None:
        pass
