"""The event loop behind synchronous clients: one for a process, in a daemon thread, from its first use on.

One and not one each, because gRPC knows only one poller for all loops of a process: a loop that is closed while others
go on would be called for what came too late.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Value = TypeVar("Value")


class _Background:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="mesh-sdk", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


_lock = threading.Lock()
_running: _Background | None = None


def loop() -> asyncio.AbstractEventLoop:
    global _running  # noqa: PLW0603  # it is the process's
    with _lock:
        if _running is None or not _running.thread.is_alive():  # a forked process has no threads of its parent
            _running = _Background()
        return _running.loop


def soon(work: Callable[[], object]) -> None:
    """Do it in the loop, where one runs: an interpreter that ends has none any more, and shall not wait for a new one.

    It takes no lock, since it is called where garbage is collected, and that may be within `loop`.
    """
    running = _running
    if running is not None and running.thread.is_alive():
        running.loop.call_soon_threadsafe(work)


def call(work: Coroutine[Any, Any, Value]) -> Value:
    """The result of `work`, done in the loop; cancelled where the caller is interrupted meanwhile."""
    done = asyncio.run_coroutine_threadsafe(work, loop())
    try:
        return done.result()
    except BaseException:
        done.cancel()
        raise
