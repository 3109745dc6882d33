"""Which lanes this gateway runs, on Kafka: those of the partitions of the lanes state that the group gave it.

A. What is gained counts only when it has been claimed: until then another gateway's last words may be unread.
B. What is lost is lost at once. What was lost in between, if only for a moment that we did not see, is claimed anew.
C. Nothing is owned while the lease does not hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from gateway.kafka.lease import Lease
from gateway.kafka.patience import pauses
from gateway.waking import Waking
from mesh.errors import MeshError
from mesh.ids import LaneId

log = structlog.get_logger()

LOOK_S = 1.0
"""How long a claim of ours may be lost before we look."""


class Claims(Protocol):
    """The lanes state, as whoever shares it out needs it."""

    @property
    def partitions(self) -> int:
        """How many there are."""

    def partition_of(self, lane: LaneId) -> int: ...

    async def claim(self, partitions: Collection[int]) -> None:
        """From here on nobody else can put into these, and all that others put is known."""

    def release(self, partitions: Collection[int]) -> None:
        """Put nothing into these any more."""

    @property
    def claimed(self) -> frozenset[int]:
        """Those of ours that nobody has claimed since, as far as we know."""


class KafkaOwnership:
    """Implements `mesh.ports.Ownership`. `run` claims; whoever takes part in the group tells `share` and `lose`."""

    is_shared = True

    def __init__(self, gateway: str, claims: Claims, lease: Lease) -> None:
        self.gateway = gateway
        self._claims = claims
        self._lease = lease
        self._owners: Sequence[str] = ()
        self._wanted: frozenset[int] = frozenset()
        self._claimed: set[int] = set()
        self._losses: dict[int, int] = {}
        """How often each partition was lost: a claim that was begun before does not count."""
        self._todo = asyncio.Event()
        self._changed = Waking()
        self.version = 1
        self.stop: Callable[[], Awaitable[None]] = _nothing
        """Takes this gateway out of the group; told by whoever put it in."""
        self.fault: Callable[[], MeshError | None] = lambda: None
        """Why this gateway is no part of the group."""
        lease.on_change = self._announce

    def __repr__(self) -> str:
        return f"<KafkaOwnership {self.gateway}: {len(self._claimed)} of {len(self._owners)} partitions, {self._lease}>"

    async def wait_changed(self, version: int) -> int:
        while self.version == version:
            await self._changed.wait()
        return self.version

    def owns(self, lane: LaneId) -> bool:
        return self._claims.partition_of(lane) in self._claimed and self._lease.holds

    def term(self, lane: LaneId) -> int:
        return 1 + self._losses.get(self._claims.partition_of(lane), 0) if self.owns(lane) else 0

    def owner(self, lane: LaneId) -> str:
        if not self._lease.holds:
            return ""
        partition = self._claims.partition_of(lane)
        owner = self._owners[partition] if partition < len(self._owners) else ""
        return owner if owner != self.gateway or partition in self._claimed else ""

    def may_write(self) -> bool:
        """Whether anything may be written to the topics of lanes at all."""
        return self._lease.holds

    def trouble(self) -> str:
        if (fault := self.fault()) is not None:
            return str(fault)
        return "" if self._lease.holds else "the group of this organization's gateways cannot be reached"

    async def leave(self) -> None:
        await self.stop()

    # told by the membership

    def share(self, owners: Sequence[str], *, is_next: bool) -> None:
        """The partitions are shared out so. `is_next`: nothing was between this and the sharing out before."""
        self._owners = owners
        self._wanted = frozenset(number for number, owner in enumerate(owners) if owner == self.gateway)
        if not is_next:
            self._drop(range(len(owners)))
        self._drop([number for number in range(len(owners)) if number not in self._wanted])
        self._todo.set()
        self._announce()

    def lose(self) -> None:
        """Others run everything."""
        partitions = range(len(self._owners))
        self._owners, self._wanted = (), frozenset()
        self._drop(partitions)  # also those whose claim is still under way
        self._announce()

    def _drop(self, partitions: Collection[int]) -> None:
        for number in partitions:
            self._losses[number] = self._losses.get(number, 0) + 1
        if lost := self._claimed.intersection(partitions):
            self._claimed -= lost
            self._claims.release(lost)

    def _announce(self) -> None:
        self.version += 1
        self._changed.wake()

    # claiming

    async def run(self) -> None:
        """Claim what is gained, until cancelled."""
        pause = pauses()
        while True:
            self._todo.clear()
            self._drop_stolen()
            missing = self._wanted - self._claimed
            if not missing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._todo.wait()
                continue
            try:
                await self._claim(missing)
                pause = pauses()
            except MeshError as error:
                log.warning("lanes not claimed", partitions=sorted(missing), code=error.code, reason=str(error))
                await asyncio.sleep(next(pause))
            except Exception:  # a mistake of ours must not leave the lanes without an owner for ever
                log.exception("lanes not claimed", partitions=sorted(missing))
                await asyncio.sleep(next(pause))

    def _drop_stolen(self) -> None:
        """What somebody claimed whom the group did not give it to: a gateway that had not heard of its loss yet."""
        if stolen := self._claimed - self._claims.claimed:
            log.warning("lanes claimed by another gateway", partitions=sorted(stolen))
            self._drop(stolen)
            self._announce()

    async def _claim(self, missing: frozenset[int]) -> None:
        losses = {number: self._losses.get(number) for number in missing}
        await self._claims.claim(missing)
        kept = {number for number in missing & self._wanted if self._losses.get(number) == losses[number]}
        self._claimed |= kept
        if lost := missing - kept:
            self._claims.release(lost)
        self._announce()


async def _nothing() -> None:
    pass
