"""The signals that ask a gateway to stop: the first one to stop in order, the second one to stop at once.

A request to stop that came another way does not count: whoever runs a job asks over HTTP, and then the container's
runtime sends its first signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

STOP = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """SIGTERM and SIGINT call `stop` while inside, a second one ends the process."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._was_told = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP:
            loop.add_signal_handler(number, self._told)

    def _told(self) -> None:
        if self._was_told:
            os._exit(1)
        self._was_told = True
        self._stop()

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP:
            loop.remove_signal_handler(number)
