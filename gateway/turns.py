"""Who of the lanes of one link may read: so many that what they hold and the link has not taken stays bounded.

A lane that is behind reads about a frame, and holds it until the link has room. A thousand of them at once would hold a
thousand frames; so lanes that are behind read by turns, first come, first served. How many at once follows from how
much reads brought of late: many lanes with little each go together, a few with much fill the bound. A lane that waits
at the tip needs no turn, since nobody knows what it will bring. Whoever waits long for its cluster gives its turn back:
one leader that is away must not hold up the lanes of others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

AT_FIRST = 8
"""How many may read at once before it is known what a read brings."""
PATIENCE_S = 0.5
"""Of a turn until its read has brought something."""
WEIGHT = 8
"""Of what was known against what one more read has brought."""


class Turns:
    """Of one link. Each lane has a `Turn` of its own."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._usual_bytes = most_bytes // AT_FIRST
        self._waiting: deque[asyncio.Future[int]] = deque()
        self.held_bytes = 0
        """By those whose turn it is: what they have read, or may be about to."""

    def __repr__(self) -> str:
        return f"<Turns {self.held_bytes} of {self._most_bytes} bytes, {len(self._waiting)} wait>"

    async def take(self) -> int:
        """Wait for a turn; the bytes that it holds, which go to `give`."""
        if self._fits() and not self._waiting:
            self.held_bytes += self._usual_bytes
            return self._usual_bytes
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(turn.result())
            raise

    def change(self, held_bytes: int, read_bytes: int) -> None:
        """A read has brought `read_bytes`, which a turn that held `held_bytes` holds now."""
        self._usual_bytes = (self._usual_bytes * (WEIGHT - 1) + read_bytes) // WEIGHT
        self.held_bytes += read_bytes - held_bytes
        self._call()

    def give(self, held_bytes: int) -> None:
        self.held_bytes -= held_bytes
        self._call()

    def _fits(self) -> bool:
        return self.held_bytes == 0 or self.held_bytes + self._usual_bytes <= self._most_bytes

    def _call(self) -> None:
        while self._waiting and self._fits():
            turn = self._waiting.popleft()
            if not turn.done():
                self.held_bytes += self._usual_bytes
                turn.set_result(self._usual_bytes)


class Turn:
    """Of one lane: `begin` before a read, `took` after it, and `end`; the end of a `with` ends it, too."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._held_bytes: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        self._close()
        self._held_bytes = await self._turns.take()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self.end)

    def took(self, size_bytes: int) -> None:
        """What was read is held from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._turns.change(self._held_bytes or 0, size_bytes)
            self._held_bytes = size_bytes

    def end(self) -> None:
        if self._held_bytes is not None:
            self._turns.give(self._held_bytes)
            self._held_bytes = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.end()
