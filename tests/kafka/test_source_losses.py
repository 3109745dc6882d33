"""What a real broker's topic can lose under a lane: each loss stops it with the exact range, or is passed as told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.lanes.losses import LossKind, LostRange
from mesh.lanes.status import LaneState
from mesh.ports import Cluster
from mesh.shares import OnLoss
from tests.support.brokers import delete_records, open_cluster
from tests.support.damage import Pairing, running
from tests.support.losing import stored, values_of

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with open_cluster() as cluster:
        yield cluster


async def test_retention_passes_a_paused_lane(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(4)
    await pairing.copy()
    await pairing.produce(3, copied=False)
    await delete_records(pairing.source, 7)
    await pairing.produce(2)
    status = await pairing.stop()
    assert (status.code, status.lost) == ("source-trimmed", LostRange(LossKind.TRIMMED, 4, 7))
    await pairing.copy(pairing.mirror(on_loss=OnLoss.CONTINUE))
    await pairing.check()


async def test_retention_passes_a_lane_that_runs(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(4)
    async with running(pairing, on_loss=OnLoss.CONTINUE) as mirror:
        await mirror.until(lambda status: status.source_position == 4)
        mirror.is_granted = False  # so that it hears of nothing for a while
        await mirror.until(lambda status: status.state is LaneState.WAITING)
        await pairing.produce(3, copied=False)
        await delete_records(pairing.source, 7)
        await pairing.produce(2)
        mirror.is_granted = True
        await mirror.until(lambda status: status.source_position == 9)
    await pairing.check()


async def test_a_topic_is_created_again_under_a_lane_that_runs(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(3)
    async with running(pairing) as mirror:
        await mirror.until(lambda status: status.source_position == 3)
        await pairing.recreate_source()
        await pairing.produce(5)
        # for a moment there is no such topic: then the lane waits, as for one that is not granted
        status = await mirror.until(lambda status: status.state is LaneState.STOPPED)
    assert (status.code, status.lost) == ("source-recreated", LostRange(LossKind.RECREATED, 0, 3))
    assert len(await values_of(cluster, pairing.destination)) == 3
    await pairing.copy(pairing.mirror(on_loss=OnLoss.CONTINUE))
    await pairing.check()
    offset_map, (entry,) = await stored(cluster, pairing.mirror().lane)
    assert (offset_map.start, offset_map.destination_start) == (0, 3)
    assert (entry.destination_offset, entry.next_destination_offset) == (0, 3)
    # and the new incarnation goes on after a restart as any lane does
    await pairing.produce(2)
    await pairing.copy()
    await pairing.check()


async def test_a_topic_is_deleted(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(2)
    async with running(pairing) as mirror:
        await mirror.until(lambda status: status.source_position == 2)
        await cluster.topics.delete(pairing.mapping.source_topic)
        await mirror.until(lambda status: (status.state, status.code) == (LaneState.WAITING, "not-available"))


async def test_a_smaller_limit_at_the_source_changes_nothing_for_what_it_holds(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(2)
    await pairing.put(b"x" * 3000)
    await cluster.topics.configure(pairing.mapping.source_topic, {"max.message.bytes": "1000"})
    await pairing.produce(2)
    await pairing.copy()
    await pairing.check()
