"""Takes a sample every two seconds, by a timer of the event loop: no task has to be owned or ended for it.

Looking at many lanes takes time: the next look waits as long as keeps all of them below a hundredth of the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from gateway.console.history import FINE_MS, History, sampled
from gateway.services import Services

SHARE_OF_TIME = 0.01
_log = structlog.get_logger("gateway.console")


class Sampler:
    def __init__(self, services: Services, history: History) -> None:
        self._services, self._history = services, history
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False

    def __repr__(self) -> str:
        return f"<Sampler {'on' if self._timer else 'off'}>"

    async def while_open(self, app: web.Application) -> AsyncIterator[None]:
        """As aiohttp wants what lives as long as an application."""
        self._look()
        yield
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        began = time.monotonic()
        try:
            self._history.add(sampled(self._services))
            self._failed = False
        except Exception as error:  # a plot without a point is no reason to end the gateway
            if not self._failed:
                _log.error("no sample for the console", exc_info=error)
            self._failed = True
        took = time.monotonic() - began
        pause = max(FINE_MS / 1000, took / SHARE_OF_TIME)
        self._timer = asyncio.get_running_loop().call_later(pause, self._look)
