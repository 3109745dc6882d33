"""Waking whoever waits for the next change of something; who comes after it waits for the one that follows."""

from __future__ import annotations

import asyncio


class Waking:
    """A change that nobody waits for leaves nothing behind: look at what may have changed first, then wait."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    async def wait(self) -> None:
        await self._next.wait()

    def wake(self) -> None:
        woken, self._next = self._next, asyncio.Event()
        woken.set()
