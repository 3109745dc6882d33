"""An event loop on which a seed decides what runs next, and time passes only while nothing can run.

A. Every callback that is ready may be the next: each await is a point where another task may come in between.
B. The same seed and the same code give the same steps: tasks and futures hash by the order in which they were made,
   so that not even the sets that asyncio keeps of them depend on where they lie in memory.
C. A callback belongs to the process whose context it runs in. That of a paused process is kept until it goes on, that
   of a killed one never runs: no `finally`, no last word, as with SIGKILL and SIGSTOP.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from enum import Enum
from random import Random
from typing import Any

PROCESS: ContextVar[Process] = ContextVar("PROCESS")
STEP_LIMIT = 60_000
_MASK = (1 << 64) - 1


class NeverEnds(AssertionError):
    """Nothing can run any more, or it runs for ever."""


class Life(Enum):
    RUNS = 0
    PAUSED = 1
    DEAD = 2


class Process:
    """What can be killed and paused as a whole. Tasks made in its context, and theirs, belong to it."""

    def __init__(self, name: str, loop: SimulatedLoop) -> None:
        self.name = name
        self.life = Life.RUNS
        self.held: list[asyncio.Handle] = []
        self._loop = loop
        self._context = copy_context()
        self._context.run(PROCESS.set, self)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self._loop.create_task(work, context=self._context)

    def kill(self) -> None:
        """What is held is kept only so that `reap` can end it."""
        self.life = Life.DEAD

    def pause(self) -> None:
        if self.life is Life.RUNS:
            self.life = Life.PAUSED

    def resume(self) -> None:
        if self.life is Life.PAUSED:
            self.revive()

    def revive(self) -> None:
        self.life = Life.RUNS
        held, self.held = self.held, []
        self._loop.make_ready(held)


class _Task(asyncio.Task[Any]):
    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], context: Context, **options: Any) -> None:
        self.number = number
        self.process = context.get(PROCESS)
        super().__init__(coro, context=context, **options)

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[Any]):
    number = 0

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """`chaos` is the share of steps at which any ready callback may run; at the others the oldest does."""

    def __init__(self, seed: int, chaos: float = 1.0) -> None:
        super().__init__()
        self._ready: list[asyncio.Handle] = []
        self._scheduled: list[asyncio.TimerHandle] = []
        self._random = Random(seed).random
        self._chaos = chaos
        self._now_s = 1000.0
        self._made = 0
        self._tasks: list[_Task] = []
        self._at: list[tuple[int, int, Callable[[], None]]] = []
        self._due = STEP_LIMIT
        self.steps = 0
        self.trace = seed & _MASK
        self.troubles: list[str] = []
        self.set_exception_handler(self._troubled)

    def time(self) -> float:
        return self._now_s

    def note(self, number: int) -> None:
        """Make something that happened part of the trace."""
        self.trace = (self.trace * 1_000_003 + number) & _MASK

    def at_step(self, step: int, action: Callable[[], None]) -> None:
        """Call `action` just before that step, outside of every process."""
        heapq.heappush(self._at, (step, len(self._at) + self._made, action))
        self._due = min(self._due, self._at[0][0])
        self._made += 1

    @property
    def waits_for_steps(self) -> bool:
        return bool(self._at)

    def forget_actions(self) -> None:
        """Those that have not come to pass will not."""
        self._at, self._due = [], STEP_LIMIT

    def make_ready(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handles)

    def reap(self) -> None:
        """End what is left of all processes, the dead ones too, so that nothing runs later."""
        self._due, self.steps, self._chaos = STEP_LIMIT, 0, 0.0
        for _ in range(20):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                return
            for task in left:
                if task.process is not None:
                    task.process.revive()
                task.cancel()
            self.run_until_complete(asyncio.wait(left, timeout=30))
        raise NeverEnds(f"these cannot be ended: {left}")

    def _troubled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.troubles.append(f"{context.get('message')}: {context.get('exception')!r}")

    # --- what asyncio calls

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        self._made += 1
        future.number = self._made
        return future

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        self._made += 1
        task = _Task(self._made, coro, context if context is not None else copy_context(), loop=self, name=name or "")
        self._tasks.append(task)
        return task

    def _process_events(self, event_list: object) -> None:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        raise NotImplementedError("there are no threads here")

    def _run_once(self) -> None:
        if self.steps >= self._due:
            self._act()
        ready = self._ready
        while not ready:
            self._pass_time()
        count = len(ready)
        index = int(self._random() * count) if count > 1 and self._random() < self._chaos else 0
        handle = ready.pop(index)
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
        if process is not None and process.life is not Life.RUNS:
            process.held.append(handle)
            return
        self.steps += 1
        self.trace = (self.trace * 1_000_003 + index * 64 + count) & _MASK
        handle._run()

    def _act(self) -> None:
        if self.steps >= STEP_LIMIT:
            raise NeverEnds(f"it still goes on after {STEP_LIMIT} steps")
        while self._at and self._at[0][0] <= self.steps:
            heapq.heappop(self._at)[2]()
        self._due = self._at[0][0] if self._at else STEP_LIMIT

    def _pass_time(self) -> None:
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False  # type: ignore[attr-defined]
        if not timers:
            raise NeverEnds("every task waits for something that will never come")
        self._now_s = max(self._now_s, timers[0].when())
        while timers and timers[0].when() <= self._now_s:
            handle = heapq.heappop(timers)
            handle._scheduled = False  # type: ignore[attr-defined]
            self._ready.append(handle)
