"""What is shown of lanes that do not run: where they stood."""

from __future__ import annotations

import asyncio
from random import Random
from typing import cast

from gateway.importer.lane import LaneSettings
from gateway.importer.manager import ImportManager, Links
from gateway.importer.pipeline import PipelineSettings
from gateway.stored_lanes import stored_checkpoints
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.ids import LaneId
from mesh.lanes.checkpoint import prefix
from mesh.lanes.status import LaneState, LaneStatus
from mesh.shares import PeerState
from tests.support.hubs import TOPIC, now_ms, until
from tests.support.importing import COPY, NAME, Importing, importing

LANE = LaneId(NAME, TOPIC, 0)


class NobodyThere:
    async def wait(self, peer: str, key: str = "") -> None:
        await asyncio.Event().wait()


async def after_restart(run: Importing) -> LaneStatus:
    """What another process shows, with the provider out of reach."""
    run.task.cancel()
    await asyncio.wait([run.task])
    globex = run.both.globex
    settings = LaneSettings(PipelineSettings(DEFAULT_LIMITS, check_records), 1 << 20, 0.01, 0.05)
    links = cast("Links", NobodyThere())
    imports = ImportManager(globex.cluster.ports, globex.registry, links, settings, now_ms=now_ms, random=Random(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(imports.run())
        await until(lambda: any(each.records for each in imports.statuses()))
        task.cancel()
    (status,) = imports.statuses()
    return status


async def test_after_a_restart_without_the_provider_a_lane_shows_where_it_stood() -> None:
    async with importing(20) as run:
        await until(lambda: run.end == 60)
        status = await after_restart(run)
    assert (status.lane, status.state, status.destination_topic) == (LANE, LaneState.WAITING, COPY)
    assert (status.records, status.source_position, status.destination_end, status.gaps) == (60, 60, 60, 0)
    assert status.lag_records is None, "nobody can say it now"


async def test_a_lane_of_a_suspended_peer_shows_where_it_stands() -> None:
    async with importing(20) as run:
        await until(lambda: run.end == 60)
        await run.revoke(PeerState.SUSPENDED)
        await until(lambda: [each.records for each in run.imports.statuses()] == [60])


async def test_a_damaged_checkpoint_is_left_to_its_lane() -> None:
    async with importing(20) as run:
        await until(lambda: run.end == 60)
        run.task.cancel()
        await asyncio.wait([run.task])
        globex = run.both.globex
        lanes, subscription = globex.cluster.ports.lanes, globex.registry.subscription(NAME)
        assert list(await stored_checkpoints(lanes, subscription)) == [LANE]
        await lanes.put({f"{prefix(LANE)}checkpoint": b"{}"})
        assert await stored_checkpoints(lanes, subscription) == {}
