"""Time for tests: a clock that stands still until told, and an event loop whose waits take no time.

    clock = FakeClock()
    link = Link(hello, dialler=True, now_s=clock())
    clock.advance(30)

    run(scenario())        # sleeps, timeouts and fetches that wait pass at once, in their order

In a skipping loop time advances by itself whenever every task waits and nothing has come from outside; so use it where
all that a test waits for is in this process and on this loop: threads and sockets would be overtaken.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class FakeClock:
    """Seconds that pass only by `advance`."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def advance(self, seconds: float) -> None:
        assert seconds >= 0, "time does not go back"
        self.now_s += seconds


class _Skipping(selectors.SelectSelector):
    """Never waits: what it would have waited for is added to the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise AssertionError("every task waits for something that will never come")
        if not ready and timeout is not None and timeout > 0:
            self._clock.advance(timeout)
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop that runs by `clock`."""

    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        super().__init__(_Skipping(self.clock))

    def time(self) -> float:
        return self.clock()


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on a loop whose waits take no time; fails where tasks are left behind."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(_alone(scenario))


async def _alone(scenario: Coroutine[Any, Any, T]) -> T:
    result = await scenario
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks were left behind: {left}"
    return result
