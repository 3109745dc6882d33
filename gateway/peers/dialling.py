"""Dialling: a task for each address of each active peer, which dials while its gateway has no link, whoever made it.

So every gateway of a peer that can be reached is linked, and each can take over the lanes of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import structlog

from gateway.metrics import Metrics
from gateway.peers.dial import dialled
from gateway.peers.table import LinkTable
from gateway.registry import Registry
from gateway.rpc.credentials import TransportLimits
from gateway.rpc.identity import Identity
from gateway.rpc.streams import DialledStream
from gateway.rpc.targets import dial_target
from mesh.backoff import Backoff
from mesh.errors import MeshError
from mesh.ids import OrgId

log = structlog.get_logger()

MAX_ADDRESSES = 8
"""Of one peer that are dialled: more gateways of one organization are of no use to its lanes."""
Place = tuple[OrgId, str]
"""A peer and one address of it."""
RunLink = Callable[[OrgId, DialledStream, str, Backoff], Awaitable[None]]
"""Runs one link over a stream to an address until it ends; resets the backoff when it has opened."""


class Dialling:
    def __init__(
        self,
        identity: Callable[[], Identity],
        registry: Registry,
        table: LinkTable,
        run_link: RunLink,
        transport: TransportLimits,
        backoff: Callable[[], Backoff],
        metrics: Metrics,
    ) -> None:
        self._identity = identity
        self._registry = registry
        self._table = table
        self._run_link = run_link
        self._transport = transport
        self._backoff = backoff
        self._metrics = metrics
        self._tasks: dict[Place, tuple[tuple[str, ...], asyncio.Task[None]]] = {}
        self._met: dict[Place, str] = {}
        """The gateway found at each address the last time that it was dialled."""
        self._group: asyncio.TaskGroup | None = None
        self._stopping = False
        self._failures: dict[Place, MeshError] = {}
        """Why the last dialling of each address failed; taken out when its gateway is linked."""

    def reconcile(self, group: asyncio.TaskGroup) -> None:
        """Dial whom the registry wants dialled, at the addresses it names, and nobody else."""
        self._group = group
        wanted = {
            (org, address): peer.addresses
            for org, peer in self._registry.peers.items()
            if peer.trust.may_greet
            for address in peer.addresses[:MAX_ADDRESSES]
        }
        for place, (addresses, task) in list(self._tasks.items()):
            if wanted.get(place) != addresses:
                task.cancel()
                del self._tasks[place]
                self._failures.pop(place, None)
        for place, addresses in wanted.items():
            if place not in self._tasks and not self._stopping:
                self._tasks[place] = (addresses, group.create_task(self._keep_dialling(place, len(addresses))))

    def renew(self) -> None:
        """Dial everybody anew with the present identity. Links that are open go on until the new one has opened."""
        if self._group is None or self._stopping:
            return
        for place, (addresses, _) in list(self._tasks.items()):
            # the task before ends with its session, see `_is_mine`
            self._tasks[place] = (addresses, self._group.create_task(self._keep_dialling(place, len(addresses))))

    def stop(self) -> None:
        """Dial nobody any more. Links that are open stay."""
        self._stopping = True
        for (org, _), (_, task) in self._tasks.items():
            if not self._table.has(org):
                task.cancel()  # a task that runs a session ends with it

    async def _keep_dialling(self, place: Place, addresses: int) -> None:
        backoff = self._backoff()
        while self._is_mine(place):
            if not self._is_served(place, addresses):
                await self._dial(*place, backoff)
            await asyncio.sleep(backoff.next_s())
            while self._is_served(place, addresses):
                await self._table.wait_change()

    def _is_mine(self, place: Place) -> bool:
        """Whether the running task still is the one that dials there."""
        return not self._stopping and place in self._tasks and self._tasks[place][1] is asyncio.current_task()

    def _is_served(self, place: Place, addresses: int) -> bool:
        """Whether the gateway at the address has an open link that shows our present leaf, whoever made it.

        Who is behind an address is known when it was dialled once; until then as many gateways as addresses will do.
        """
        linked = {
            link.session.peer.name
            for link in self._table.open(place[0])
            if link.identity is self._identity() and link.session.peer is not None
        }
        met = self._met.get(place)
        return met in linked if met is not None else len(linked) >= addresses

    def met(self, org: OrgId, address: str, gateway: str) -> None:
        """A link that was dialled has opened."""
        self._met[org, address] = gateway
        down = self.down(org)
        for place in [each for each in self._failures if each[0] == org and each[1] not in down]:
            del self._failures[place]

    def down(self, org: OrgId) -> dict[str, MeshError]:
        """The addresses of the peer that were dialled in vain and whose gateway has no link, and why, in order."""
        return {
            address: self._failures[org, address]
            for (each, address), (addresses, _) in self._tasks.items()
            if each == org and (org, address) in self._failures and not self._is_served((org, address), len(addresses))
        }

    def why_down(self, org: OrgId) -> str:
        return "; ".join(f"{address}: {error}" for address, error in self.down(org).items())

    async def _dial(self, org: OrgId, address: str, backoff: Backoff) -> None:
        try:
            peer = self._registry.peer(org)
            target = await dial_target(address) if peer.public_only else address
            async with dialled(self._identity(), peer.trust, target, self._transport) as stream:
                await self._run_link(org, stream, address, backoff)
        except MeshError as error:
            self._metrics.handshake_failures.labels(error.code).inc()
            known = self._failures.get((org, address))
            self._failures[org, address] = error
            if str(known) != str(error):  # a peer that is down for hours is one line, not thousands
                log.warning("link failed", peer=str(org), address=address, code=error.code, reason=str(error))
        except Exception:  # a mistake of ours on one link must not end the others
            log.exception("link failed", peer=str(org), address=address)


def backoff_of(initial_s: float, max_s: float, random: Random) -> Callable[[], Backoff]:
    return lambda: Backoff(initial_s, max_s, random)
