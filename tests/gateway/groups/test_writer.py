"""Positions of a group are written by its rules only: empty, forward, inside of the log, all or none."""

from __future__ import annotations

import pytest

from gateway.groups.errors import PositionOutsideLog, PositionWouldGoBack
from gateway.groups.writer import GroupWriter
from mesh.cluster_errors import GroupNotEmpty
from mesh.groups import GroupState
from mesh.ids import GroupName, Partition
from mesh.testing.cluster import FakeCluster
from tests.support.batches import plain_batch

GROUP = GroupName("billing")
FIRST, SECOND = Partition("orders", 0), Partition("orders", 1)


@pytest.fixture
async def fake() -> FakeCluster:
    """A topic with ten records in each of two partitions, of which retention took three."""
    fake = FakeCluster()
    await fake.ports.topics.create("orders", 2, {})
    for partition in (FIRST, SECOND):
        for count in (3, 7):
            fake.foreign_write(partition, plain_batch([b"r"] * count))
        fake.delete_before(partition, 3)
    return fake


@pytest.fixture
def writer(fake: FakeCluster) -> GroupWriter:
    return GroupWriter(fake.ports)


async def positions(fake: FakeCluster) -> dict[Partition, int]:
    return dict((await fake.ports.groups.describe(GROUP, ["orders"])).positions)


async def test_an_empty_group_is_moved(fake: FakeCluster, writer: GroupWriter) -> None:
    assert await writer.commit(GROUP, {FIRST: 5, SECOND: 10}) == 2
    assert await writer.commit(GROUP, {FIRST: 6, SECOND: 10}) == 1
    assert await positions(fake) == {FIRST: 6, SECOND: 10}
    assert fake.groups.commits[-1] == (GROUP, {FIRST: 6})


async def test_a_group_with_members_is_left_alone(fake: FakeCluster, writer: GroupWriter) -> None:
    fake.groups.join(GROUP)
    with pytest.raises(GroupNotEmpty):
        await writer.commit(GROUP, {FIRST: 5}, backward=True)
    assert (await writer.advance(GROUP, {FIRST: 5})).state is GroupState.ACTIVE
    assert fake.groups.commits == []


async def test_nothing_goes_back_unless_told(fake: FakeCluster, writer: GroupWriter) -> None:
    await writer.commit(GROUP, {FIRST: 8})
    with pytest.raises(PositionWouldGoBack) as raised:
        await writer.commit(GROUP, {SECOND: 5, FIRST: 7})
    assert (raised.value.present, raised.value.position) == (8, 7)
    assert await positions(fake) == {FIRST: 8}
    await writer.commit(GROUP, {SECOND: 5, FIRST: 7}, backward=True)
    assert await positions(fake) == {FIRST: 7, SECOND: 5}


@pytest.mark.parametrize("outside", [2, 11])
async def test_a_position_that_no_consumer_could_go_on_from_is_not_written(
    fake: FakeCluster, writer: GroupWriter, outside: int
) -> None:
    with pytest.raises(PositionOutsideLog):
        await writer.commit(GROUP, {SECOND: 5, FIRST: outside})
    assert await positions(fake) == {}


async def test_advancing_moves_what_it_can_and_leaves_the_rest(fake: FakeCluster, writer: GroupWriter) -> None:
    await writer.commit(GROUP, {FIRST: 8})
    group = await writer.advance(GROUP, {FIRST: 5, SECOND: 6})
    assert group.positions == await positions(fake) == {FIRST: 8, SECOND: 6}
    assert (await writer.advance(GROUP, {FIRST: 9, SECOND: 11})).positions == {FIRST: 9, SECOND: 6}


async def test_nothing_to_advance_writes_nothing(fake: FakeCluster, writer: GroupWriter) -> None:
    assert (await writer.advance(GROUP, {})).state is GroupState.ABSENT
    assert fake.groups.commits == []
