"""What can happen to a destination topic behind the mirror's back, on a real broker: each has its witness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mesh.offsets.answers import Run
from mesh.ports import Cluster
from mesh.shares import OnForeignWrite
from tests.support.brokers import delete_records, open_cluster
from tests.support.damage import KEEP, Pairing, running
from tests.support.losing import stored, values_of
from tests.support.mirror import Mirror, records_of_partition

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with open_cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "running"])
async def test_a_foreign_writer(cluster: Cluster, is_idle: bool) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(3)
    if is_idle:
        await pairing.copy()
        await pairing.intrude()
        status = await pairing.stop()
    else:
        async with running(pairing) as mirror:
            await mirror.until(lambda status: status.destination_end == 3)
            await pairing.intrude()
            await pairing.produce(1, copied=False)
            status = await mirror.until_stopped()
    assert status.code == "foreign-write"
    assert "3" in status.reason
    # told to report it, the lane goes on around it, and the map stays exact
    pairing.account.copies.append(b"intruder")
    pairing.account.lost.clear()
    if not is_idle:  # it was written, and noticed by its offset
        pairing.account.places[3] = len(pairing.account.copies)
        pairing.account.copies.append(pairing.account.held[3])
    await pairing.produce(2)
    await pairing.copy(pairing.mirror(on_foreign_write=OnForeignWrite.REPORT))
    await pairing.check()


async def test_a_topic_that_was_created_again_and_is_empty_is_told_by_its_id(cluster: Cluster) -> None:
    for copied in (3, 0):  # a young lane, too: nothing is missing in the new topic
        pairing = await Pairing.make(cluster)
        await pairing.produce(copied)
        await pairing.copy()
        await cluster.topics.delete(pairing.mapping.destination_topic)
        await cluster.topics.create(pairing.mapping.destination_topic, 1, KEEP)
        await pairing.produce(2, copied=False)
        status = await pairing.stop()
        assert status.code == "destination-recreated"
        assert await values_of(cluster, pairing.destination) == []


async def test_a_topic_that_is_created_again_under_a_lane_that_runs(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(3)
    async with running(pairing) as mirror:
        await mirror.until(lambda status: status.destination_end == 3)
        await cluster.topics.delete(pairing.mapping.destination_topic)
        await cluster.topics.create(pairing.mapping.destination_topic, 1, KEEP)
        await pairing.produce(1)
        status = await mirror.until_stopped()
    assert status.code in {"destination-recreated", "topic-absent"}
    assert (await pairing.stop()).code == "destination-recreated"
    assert await values_of(cluster, pairing.destination) == []


async def test_a_smaller_limit_stops_the_lane_and_it_goes_on_once_it_was_raised(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(2)
    await pairing.copy()
    await cluster.topics.configure(pairing.mapping.destination_topic, {"max.message.bytes": "500"})
    await pairing.produce(1)
    await pairing.put(b"x" * 1000)
    await pairing.produce(1)
    async with running(pairing) as mirror:
        status = await mirror.until_stopped()
    assert status.code == "batch-refused"
    assert "max.message.bytes" in status.reason
    assert "resume" in status.remedy
    assert len(await values_of(cluster, pairing.destination)) == 3
    await cluster.topics.configure(pairing.mapping.destination_topic, {"max.message.bytes": "2000"})
    await pairing.copy()
    await pairing.check()


async def test_retention_that_takes_what_the_checkpoint_covers_changes_nothing(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(4)
    await pairing.copy()
    await delete_records(pairing.destination, 4)
    await pairing.produce(3)
    await pairing.copy()
    assert await values_of(cluster, pairing.destination) == pairing.account.copies[4:]


async def test_retention_that_takes_what_no_checkpoint_covers_freezes_the_lane(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(2)
    await pairing.copy()
    before = await pairing.snapshot()
    await pairing.produce(4)
    await pairing.copy()
    await cluster.lanes.put(before)  # as if the gateway had been killed before it stored its last position
    await delete_records(pairing.destination, 4)
    status = await pairing.stop()
    assert status.code == "lane-frozen"
    assert "tail-lost" in status.reason
    assert "the log begins at 4" in status.reason


async def test_what_no_checkpoint_covers_is_compared_and_recorded(cluster: Cluster) -> None:
    pairing = await Pairing.make(cluster)
    await pairing.produce(2)
    await pairing.copy()
    before = await pairing.snapshot()
    await pairing.produce(4)
    await pairing.copy()
    await cluster.lanes.put(before)
    await delete_records(pairing.destination, 2)  # only what is covered is gone
    await pairing.produce(1)
    await pairing.copy()
    assert await values_of(cluster, pairing.destination) == pairing.account.copies[2:]


COMPACT = {
    "cleanup_policy": "compact", "segment_ms": "100",
    "min_cleanable_dirty_ratio": "0.01", "max_compaction_lag_ms": "200",
}  # fmt: skip


async def _until_compacted(pairing: Pairing, mirror: Mirror) -> None:
    """The cleaner leaves the segment alone that is written to, so something is written until it has cleaned another."""
    for _ in range(200):
        await pairing.produce(1, key=b"one")
        end = pairing.account.written
        await mirror.until(lambda status, end=end: status.source_position == end)  # type: ignore[misc]
        held = await records_of_partition(pairing.cluster, pairing.destination)
        if len(held) < end - 3:
            return
        await asyncio.sleep(0.05)  # segments roll by time
    raise AssertionError("the broker has compacted nothing")


@pytest.mark.timeout(120)
async def test_compaction_of_what_the_checkpoint_covers_changes_nothing_and_of_the_rest_freezes(
    cluster: Cluster,
) -> None:
    pairing = await Pairing.make(cluster, **COMPACT)
    await pairing.produce(2, key=b"one")
    await pairing.copy()
    early = await pairing.snapshot()
    async with running(pairing) as mirror:
        await _until_compacted(pairing, mirror)
    # 1. the lane goes on behind what is left, and offsets stay
    await pairing.produce(3, key=b"two")
    await pairing.copy()
    offset_map, _ = await stored(cluster, pairing.mirror().lane)
    assert list(offset_map.runs()) == [Run(0, 0, pairing.account.written)]
    for offset, record in await records_of_partition(cluster, pairing.destination):
        assert record.value == pairing.account.held[offset]
    # 2. as if a crash had lost the checkpoints since: what stood there cannot be proved any more
    await cluster.lanes.put(early)
    async with running(pairing) as mirror:
        status = await mirror.until_stopped()
    assert status.code == "lane-frozen"
    assert "tail-lost" in status.reason
