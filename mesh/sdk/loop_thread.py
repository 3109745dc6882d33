"""An event loop in a thread of its own: what synchronous code hands coroutines to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")
Inner = TypeVar("Inner")


class LoopThread(Generic[Inner]):
    """Holds `inner` open in its thread, in one task, between `open` and `close`."""

    def __init__(self, inner: AbstractAsyncContextManager[Inner], name: str) -> None:
        self._inner = inner
        self._opened: Future[Inner] = Future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ended: Future[None] = Future()
        self._leave: asyncio.Future[BaseException | None]
        self.loop: asyncio.AbstractEventLoop
        """From `open` on."""

    def open(self) -> Inner:
        """Raises what entering `inner` raises; the thread has ended then."""
        self.loop = asyncio.new_event_loop()
        self._leave = self.loop.create_future()
        self._thread.start()
        try:
            return self._opened.result()
        except BaseException:
            self._thread.join()
            raise

    def call(self, work: Coroutine[Any, Any, Value]) -> Value:
        """The result of `work`, done in the thread; cancelled where the caller is interrupted meanwhile."""
        if self._thread.ident is None or not self._thread.is_alive():
            work.close()
            raise RuntimeError("the thread has ended")
        done = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return done.result()
        except BaseException:
            done.cancel()
            raise

    def close(self, error: BaseException | None = None) -> None:
        """Leave `inner`, as with `error` where there is one. Raises what leaving raises."""
        self.loop.call_soon_threadsafe(self._set_leave, error)
        try:
            self._ended.result()
        finally:
            self._thread.join()

    def _set_leave(self, error: BaseException | None) -> None:
        if not self._leave.done():
            self._leave.set_result(error)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._hold())

    async def _hold(self) -> None:
        try:
            inner = await self._inner.__aenter__()
        except BaseException as error:
            self._opened.set_exception(error)
            return
        self._opened.set_result(inner)
        cause = await self._leave
        try:
            await self._inner.__aexit__(type(cause) if cause else None, cause, cause.__traceback__ if cause else None)
        except BaseException as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)
