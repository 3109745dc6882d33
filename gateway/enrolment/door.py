"""The enrolment listener's life: open while an invite is, or one is being made, and closed otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from gateway.address import Address
from gateway.enrolment.listener import listen_enrolment
from gateway.enrolment.service import EnrolmentService
from gateway.registry import Registry
from gateway.rpc.listener import Listener
from mesh.errors import MeshError
from mesh.trust.enrolment_errors import EnrolmentClosed

CLOSE_S = 2.0
"""What an answer under way gets when the last invite is used."""
RETRY_S = 5.0
CLOCK_CHECK_S = 60.0
"""A wall clock that is set is noticed after this long at the latest."""

log = structlog.get_logger()

Probe = Callable[[Listener], Awaitable[None]]


class Door:
    """`run` belongs into a task group. `probe` may refuse a listener that has just been bound."""

    def __init__(
        self,
        service: EnrolmentService,
        registry: Registry,
        where: Address | None,
        now_ms: Callable[[], int],
        announce: Callable[[str], None],
        probe: Probe | None,
    ) -> None:
        self._service = service
        self._registry = registry
        self._where = where
        self._now_ms = now_ms
        self._announce = announce
        self._probe = probe
        self._changing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._listener: Listener | None = None
        self._holds = 0
        self._trouble = ""

    def __repr__(self) -> str:
        return f"<Door {self.address or 'closed'}>"

    @property
    def address(self) -> str:
        """Where the listener is, empty while it is closed."""
        return self._listener.address if self._listener is not None else ""

    @asynccontextmanager
    async def held_open(self) -> AsyncIterator[Listener]:
        """The listener, open at least as long as this lasts. Raises EnrolmentClosed, PortInUse, AddressRefused."""
        self._holds += 1
        try:
            await self._open_wanted()
            if self._listener is None:
                raise EnrolmentClosed
            yield self._listener
        finally:
            self._holds -= 1
            self._wake.set()

    async def run(self) -> None:
        """Open and close as invites come and go, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(self._registry.version))
                while True:
                    self._wake.clear()
                    pause_s = await self._turn()
                    if self._listener is not None and not self._is_wanted:
                        # A task of its own: gRPC may swallow the cancellation of whoever waits for it to stop.
                        group.create_task(self._close_unwanted())
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause_s):
                            await self._wake.wait()
        finally:
            listener, self._listener = self._listener, None
            if listener is not None:
                await listener.close(0)

    async def _follow(self, version: int) -> None:
        while True:
            version = await self._registry.wait_changed(version)
            self._wake.set()

    async def _turn(self) -> float | None:
        """Open where it is wanted; the seconds until something may have ended."""
        try:
            await self._open_wanted()
        except (MeshError, OSError) as error:  # the port may be free again later
            if str(error) != self._trouble:  # once, not at every turn
                log.warning("enrolment listener not opened", address=str(self._where), reason=str(error))
            self._trouble = str(error)
            return RETRY_S
        self._trouble = ""
        return self._next_end_s()

    @property
    def _is_wanted(self) -> bool:
        return self._holds > 0 or bool(self._registry.open_invites(self._now_ms()))

    async def _open_wanted(self) -> None:
        async with self._changing:
            if self._listener is None and self._where is not None and self._is_wanted:
                self._listener = await self._opened(self._where)
                log.info("enrolment listener opened", address=self._listener.address)
                self._announce(self._listener.address)

    async def _opened(self, where: Address) -> Listener:
        listener = await listen_enrolment(self._service, *where)
        try:
            if self._probe is not None:
                await self._probe(listener)
        except BaseException:
            await listener.close(0)
            raise
        return listener

    async def _close_unwanted(self) -> None:
        async with self._changing:
            if self._listener is None or self._is_wanted:
                return
            listener, self._listener = self._listener, None
            await listener.close(CLOSE_S)
            log.info("enrolment listener closed", address=listener.address)
            self._announce("")

    def _next_end_s(self) -> float | None:
        now_ms = self._now_ms()
        ends = [invite.expires_ms for invite in self._registry.open_invites(now_ms)]
        return min(CLOCK_CHECK_S, max(0.0, (min(ends) - now_ms) / 1000) + 0.001) if ends else None
