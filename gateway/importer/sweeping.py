"""What is left in the lanes state of subscriptions that are gone: cleared by the gateway that owns the lane.

Whoever deletes a subscription clears what he owns himself; only the owners of the other lanes can store anything there.
"""

from __future__ import annotations

import asyncio

import structlog

from gateway.registry import Registry
from gateway.stored_lanes import clear_lane, leftovers
from mesh.errors import MeshError
from mesh.ports import Cluster

log = structlog.get_logger()

RETRY_S = 5.0


async def sweep(cluster: Cluster, registry: Registry) -> None:
    """Clear it whenever subscriptions or owners change, until cancelled. Returns where there is one gateway only."""
    ownership = cluster.ownership
    while ownership.is_shared:
        versions = registry.version, ownership.version
        try:
            await _sweep(cluster, registry)
        except MeshError as error:
            log.info("state of deleted subscriptions not cleared", code=error.code, reason=str(error))
            await asyncio.sleep(RETRY_S)
            continue
        async with asyncio.TaskGroup() as group:
            changes = [
                group.create_task(registry.wait_changed(versions[0])),
                group.create_task(ownership.wait_changed(versions[1])),
            ]
            await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)
            for change in changes:
                change.cancel()


async def _sweep(cluster: Cluster, registry: Registry) -> None:
    names = {key.split("/", 2)[1] for key in await cluster.lanes.load("lane/")} - registry.subscriptions.keys()
    for name in sorted(names):
        # asked of the log: we may not have heard yet of a subscription whose lanes were another gateway's until now
        if await cluster.control.load(f"subscription/{name}"):
            continue
        for lane in await leftovers(cluster.lanes, name):
            if cluster.ownership.owns(lane):
                await clear_lane(cluster.lanes, lane)
                log.info("state of a deleted subscription cleared", lane=str(lane))
