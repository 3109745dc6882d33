"""Two ends of a stream of messages in memory, and what can happen to a stream: a cut, and a delay.

    left, right = stream_pair(Faults(cut_after=7))
    await left.write(b"hello")
    await right.read()

Messages keep their order and are never lost singly; a cut takes what is under way, as that of a connection does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from mesh.link.errors import LinkLost


@dataclass(frozen=True, slots=True)
class Faults:
    cut_after: int | None = None
    """The stream breaks when so many messages, of both directions, have been read."""
    room: int = 8
    """How many messages may be under way in one direction before `write` waits."""


class _Line:
    """What both ends share."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.read_count = 0
        self.is_cut = False
        self.is_held = False
        self._changed = asyncio.Event()

    def change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait(self) -> None:
        await self._changed.wait()

    def check(self) -> None:
        if self.is_cut:
            raise LinkLost("the test cut it")


class StreamEnd:
    """One end: a `FrameStream`. `cut`, `hold` and `release` act on both directions."""

    def __init__(self, line: _Line, inbox: deque[bytes | None], outbox: deque[bytes | None]) -> None:
        self._line = line
        self._inbox = inbox
        self._outbox = outbox
        self.written: list[bytes] = []

    async def read(self) -> bytes | None:
        """The next message, None at the end. Raises LinkLost."""
        while True:
            self._line.check()
            if self._inbox and not self._line.is_held:
                return self._take()
            await self._line.wait()

    def _take(self) -> bytes | None:
        if self._inbox[0] is None:
            return None
        if self._line.read_count == self._line.faults.cut_after:
            self.cut()
            self._line.check()
        self._line.read_count += 1
        self._line.change()
        return self._inbox.popleft()

    async def write(self, data: bytes) -> None:
        """Hand a message over; waits for room. Raises LinkLost."""
        while len(self._outbox) >= self._line.faults.room:
            self._line.check()
            await self._line.wait()
        self._line.check()
        if None in self._outbox:
            raise LinkLost("it was finished")
        self.written.append(data)
        self._outbox.append(data)
        self._line.change()

    async def finish(self) -> None:
        """Nothing more will be written."""
        self.end()

    def end(self) -> None:
        """As `finish`, for whoever does not wait; again is allowed."""
        if None not in self._outbox:
            self._outbox.append(None)
        self._line.change()

    def cut(self) -> None:
        """Break the stream: every read and write fails from here on."""
        self._line.is_cut = True
        self._line.change()

    def hold(self) -> None:
        """Deliver nothing until `release`."""
        self._line.is_held = True

    def release(self) -> None:
        self._line.is_held = False
        self._line.change()

    @property
    def read_count(self) -> int:
        """Messages read so far, at both ends together."""
        return self._line.read_count


def stream_pair(faults: Faults | None = None) -> tuple[StreamEnd, StreamEnd]:
    line = _Line(faults or Faults())
    there: deque[bytes | None] = deque()
    back: deque[bytes | None] = deque()
    return StreamEnd(line, back, there), StreamEnd(line, there, back)
