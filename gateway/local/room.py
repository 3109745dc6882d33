"""A bound in bytes on what was taken and is not done with (rule H): who comes when it is full waits in line."""

from __future__ import annotations

import asyncio
from collections import deque

from mesh.local.errors import PublishBusy


class Room:
    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.taken_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, topic: str, size_bytes: int, deadline: float) -> None:
        """Returns when there is room for so much, at most the limit. Raises PublishBusy at the deadline."""
        if not self._waiting and self.taken_bytes + size_bytes <= self.limit_bytes:
            self.taken_bytes += size_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give_back(size_bytes)
            turn.cancel()
            self._admit()
            if isinstance(error, TimeoutError):
                raise PublishBusy(topic, self.taken_bytes, "the cluster takes less than applications publish") from None
            raise

    def give_back(self, size_bytes: int) -> None:
        self.taken_bytes -= size_bytes
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            size_bytes, turn = self._waiting[0]
            if not turn.done():
                if self.taken_bytes + size_bytes > self.limit_bytes:
                    return
                self.taken_bytes += size_bytes
                turn.set_result(None)
            self._waiting.popleft()
