"""For how long this gateway may go on without hearing from its group: by its own clock, which asks nobody.

The coordinator takes a member's lanes away no sooner than a session after it last heard from it, and that was not
before the member sent what was answered. So a lease that counts from the sending ends first. The clock goes on while
the process is stopped and, where the system can tell, while the machine sleeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """`on_change` is called, on the event loop, when it is held again and when it has ended."""

    def __init__(self, session_s: float, clock: Callable[[], float] = now_s) -> None:
        self._session_s = session_s
        self._end_s = clock()
        self._timer: asyncio.TimerHandle | None = None
        self.clock = clock
        self.on_change: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"<Lease {'held' if self.holds else 'ended'}>"

    @property
    def holds(self) -> bool:
        return self.clock() < self._end_s

    def renew(self, sent_s: float) -> None:
        """What was sent at `sent_s`, by `clock`, has been answered."""
        held = self.holds
        self._end_s = max(self._end_s, sent_s + self._session_s)
        self._await_end()
        if not held and self.holds:
            self.on_change()

    def end(self) -> None:
        held, self._end_s = self.holds, self.clock()
        if self._timer is not None:
            self._timer.cancel()
        if held:
            self.on_change()

    def _await_end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0, self._end_s - self.clock()), self._over)

    def _over(self) -> None:
        if self.holds:
            self._await_end()
        else:
            self.on_change()


def _nothing() -> None:
    pass
