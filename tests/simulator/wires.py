"""Connections between gateways: messages in order, and what a network and those in it can do to them.

A cut takes what is under way; one side may hear of it long after the other, or never (then its link must find out).
Frames that come twice, swapped or not at all are an attacker's doing: the link has to notice.
"""

from __future__ import annotations

import asyncio
from collections import deque

from mesh.link.errors import LinkLost

ROOM = 8


class _Way:
    """One direction."""

    def __init__(self) -> None:
        self.frames: deque[bytes | None] = deque()
        self.reader_lost = self.writer_lost = self.is_held = False
        self.mischief = ""
        self._written = 0
        self._changed = asyncio.Event()

    def change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def read(self) -> bytes | None:
        while True:
            if self.reader_lost:
                raise LinkLost("the connection broke")
            if self.frames and not self.is_held:
                if self.frames[0] is None:
                    return None
                frame = self.frames.popleft()
                self.change()
                return frame
            await self._changed.wait()

    async def write(self, data: bytes) -> None:
        self._written += 1
        if self._written % 2:  # sometimes at once, sometimes not
            await asyncio.sleep(0)
        while len(self.frames) >= ROOM and not self.writer_lost:
            await self._changed.wait()
        if self.writer_lost or None in self.frames:
            raise LinkLost("the connection broke")
        mischief, self.mischief = self.mischief, ""
        if mischief != "drop":
            self.frames.append(data)
        if mischief == "double":
            self.frames.append(data)
        if mischief == "swap" and len(self.frames) > 1:
            self.frames[-1], self.frames[-2] = self.frames[-2], self.frames[-1]
        self.change()


class WireEnd:
    """A `FrameStream`."""

    def __init__(self, inward: _Way, outward: _Way) -> None:
        self._inward = inward
        self._outward = outward
        self.read = inward.read
        self.write = outward.write

    async def finish(self) -> None:
        self.end()

    def end(self) -> None:
        if None not in self._outward.frames:
            self._outward.frames.append(None)
        self._outward.change()

    def lose(self) -> None:
        """This side's reads and writes fail from here on."""
        self._inward.reader_lost = self._outward.writer_lost = True
        self._inward.change()
        self._outward.change()


class Wire:
    """One connection. `left` is the dialler's end."""

    def __init__(self) -> None:
        self._ways = (_Way(), _Way())
        self.left = WireEnd(self._ways[0], self._ways[1])
        self.right = WireEnd(self._ways[1], self._ways[0])

    @property
    def under_way(self) -> int:
        return sum(len(way.frames) for way in self._ways)

    def cut(self) -> None:
        for way in self._ways:
            way.frames.clear()
        self.left.lose()
        self.right.lose()

    def cut_for(self, *, left: bool) -> None:
        """One side learns of it; the other sends into nothing and hears nothing."""
        self.hold()
        (self.left if left else self.right).lose()

    def hold(self) -> None:
        for way in self._ways:
            way.is_held = True

    def release(self) -> None:
        for way in self._ways:
            way.is_held = False
            way.change()

    def tamper(self, mischief: str, way: int) -> None:
        """With the next frame of one direction: "double", "swap" it with the one before, or "drop" it."""
        self._ways[way].mischief = mischief
