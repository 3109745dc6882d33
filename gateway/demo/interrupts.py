"""Ctrl-C and SIGTERM as KeyboardInterrupt, but not between the start of a process and its being known to its owner."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import FrameType


class Interrupts:
    """`listen` belongs to the main thread, `held` to any: what comes meanwhile is raised in the main thread later."""

    def __init__(self) -> None:
        self._holders, self._came = 0, False
        self._lock = Lock()

    def listen(self) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._come)

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
            if self._came and not self._holders:
                self._came = False
                signal.raise_signal(signal.SIGINT)

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self._holders:
            self._came = True
        else:
            raise KeyboardInterrupt
