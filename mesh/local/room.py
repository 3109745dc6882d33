"""A bound in bytes on what is taken and not done with yet; who asks first is let in first."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.used_bytes = 0

    def __repr__(self) -> str:
        return f"<Room {self.used_bytes} of {self.limit_bytes} bytes, {len(self._waiting)} waiting>"

    def take_nowait(self, size_bytes: int) -> bool:
        """Whether it was there. What is larger than the limit fits where there is nothing else."""
        if self._waiting or not self._fits(size_bytes):
            return False
        self.used_bytes += size_bytes
        return True

    async def take(self, size_bytes: int) -> None:
        if self.take_nowait(size_bytes):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            # it was let in at the same moment, or it stands in the way of those behind it
            self.give(size_bytes if not turn.cancelled() else 0)
            raise

    def give(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
        while self._waiting:
            wanted_bytes, turn = self._waiting[0]
            if turn.done():  # nobody waits for it any more
                self._waiting.popleft()
            elif self._fits(wanted_bytes):
                self._waiting.popleft()
                self.used_bytes += wanted_bytes
                turn.set_result(None)
            else:
                return

    def _fits(self, size_bytes: int) -> bool:
        return not self.used_bytes or self.used_bytes + size_bytes <= self.limit_bytes
