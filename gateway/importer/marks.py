"""Marks in the lanes state that say which lanes run, for gateways that share them.

A gateway marks a lane before it starts it, then looks whether the subscription still is what it starts; it takes the
mark away when the lane has settled. Whoever pauses a subscription stores that first and looks for marks then. So one
of the two sees the other, however late each hears of it otherwise. The mark of a gateway that died is taken away by
the next owner: nobody else can put there, and the dead one writes no more once its lease has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from gateway.importer.errors import SubscriptionChanged
from gateway.registry_codec import decode, key_of
from mesh.errors import MeshError
from mesh.ids import LaneId, SubscriptionName
from mesh.lanes.checkpoint import running_key, running_lanes
from mesh.ports import Cluster
from mesh.shares import Subscription

log = structlog.get_logger()

UNMARK_S = 5.0
"""What a stop waits for it at most; a mark that stays is taken away by the next owner."""


class Marks:
    """Does nothing where no other gateway can be."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._is_shared = cluster.ownership.is_shared

    async def set(self, subscription: Subscription, lanes: Collection[LaneId]) -> None:
        """The lanes may start when this returns. Raises SubscriptionChanged, and what storing and loading raise."""
        if not self._is_shared:
            return
        name = self._cluster.ownership.gateway.encode()
        await asyncio.gather(*(self._cluster.lanes.put({running_key(lane): name}) for lane in lanes))
        key = key_of(subscription)
        stored = await self._cluster.control.load(key)
        now = decode(key, stored[key]) if key in stored else None
        if not isinstance(now, Subscription) or not now.runs_like(subscription):
            raise SubscriptionChanged(subscription.name)

    async def clear(self, lane: LaneId) -> None:
        if not self._is_shared:
            return
        try:
            async with asyncio.timeout(UNMARK_S):
                await self._cluster.lanes.put({running_key(lane): None})
        except (MeshError, TimeoutError) as error:
            log.debug("mark not taken away", lane=str(lane), reason=str(error))

    async def clear_dead(self, name: SubscriptionName, alive: Collection[LaneId]) -> None:
        """Take away the marks of lanes that we own and that are not `alive` here."""
        for lane in await self.lanes(name):
            if self._cluster.ownership.owns(lane) and lane not in alive:
                await self.clear(lane)

    async def lanes(self, name: SubscriptionName) -> Collection[LaneId]:
        """The lanes of the subscription that are marked."""
        if not self._is_shared:
            return ()
        return running_lanes(name, await self._cluster.lanes.load(f"lane/{name}/"))
