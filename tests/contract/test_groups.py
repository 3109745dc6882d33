"""The laws of `mesh.ports.Groups`."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from mesh.cluster_errors import PartitionAbsent, TopicAbsent
from mesh.groups import Group, GroupState, GroupSummary
from mesh.ids import GroupName, Partition
from mesh.log import Topic
from mesh.ports import Cluster
from tests.contract.conftest import KEEP


@pytest.fixture
def group() -> GroupName:
    """Of this test's own: the broker is shared. Any printable text is a name."""
    return GroupName(f"gröup/{uuid4().hex[:12]} ☂")


async def test_a_group_that_nobody_made_is_absent(cluster: Cluster, topic: Topic, group: GroupName) -> None:
    assert await cluster.groups.describe(group, [topic.name]) == Group(group, GroupState.ABSENT)
    assert group not in {each.name for each in await cluster.groups.list()}


async def test_a_commit_makes_the_group(cluster: Cluster, topic: Topic, group: GroupName) -> None:
    await cluster.groups.commit(group, {Partition(topic.name, 0): 0, Partition(topic.name, 1): 7})
    expected = {Partition(topic.name, 0): 0, Partition(topic.name, 1): 7}
    assert await cluster.groups.describe(group, [topic.name]) == Group(group, GroupState.EMPTY, 0, expected)
    assert GroupSummary(group, GroupState.EMPTY) in await cluster.groups.list()


async def test_groups_are_listed_by_name(cluster: Cluster, topic: Topic, group: GroupName) -> None:
    for suffix in ("b", "a"):
        await cluster.groups.commit(GroupName(group + suffix), {Partition(topic.name, 0): 1})
    names = [each.name for each in await cluster.groups.list()]
    assert names == sorted(names)
    assert [name for name in names if name.startswith(group)] == [f"{group}a", f"{group}b"]


async def test_a_later_commit_changes_what_it_names_only(cluster: Cluster, topic: Topic, group: GroupName) -> None:
    first, second = Partition(topic.name, 0), Partition(topic.name, 1)
    await cluster.groups.commit(group, {first: 5, second: 5})
    await cluster.groups.commit(group, {second: 3})
    assert (await cluster.groups.describe(group, [topic.name])).positions == {first: 5, second: 3}


async def test_positions_are_told_of_the_asked_topics_only(
    cluster: Cluster, topic: Topic, group: GroupName, name: str
) -> None:
    other = await cluster.topics.create(f"{name}-other", 1, KEEP)
    await cluster.groups.commit(group, {Partition(topic.name, 0): 1, Partition(other.name, 0): 2})
    described = await cluster.groups.describe(group, [other.name, f"{name}-absent"])
    assert described.positions == {Partition(other.name, 0): 2}
    assert await cluster.groups.describe(group, []) == Group(group, GroupState.EMPTY)


async def test_a_commit_beyond_what_there_is_writes_nothing(cluster: Cluster, topic: Topic, group: GroupName) -> None:
    with pytest.raises(PartitionAbsent):
        await cluster.groups.commit(group, {Partition(topic.name, 0): 1, Partition(topic.name, 2): 1})
    with pytest.raises(TopicAbsent):
        await cluster.groups.commit(group, {Partition(topic.name, 0): 1, Partition(f"{topic.name}-absent", 0): 1})
    assert (await cluster.groups.describe(group, [topic.name])).state is GroupState.ABSENT


async def test_positions_go_with_their_topic(cluster: Cluster, topic: Topic, group: GroupName) -> None:
    await cluster.groups.commit(group, {Partition(topic.name, 0): 5})
    await cluster.topics.delete(topic.name)
    await cluster.topics.create(topic.name, 1, KEEP)
    # a broker's coordinator hears of it a moment later
    while (await cluster.groups.describe(group, [topic.name])).positions:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def test_a_forgotten_topic_leaves_the_others(cluster: Cluster, topic: Topic, group: GroupName, name: str) -> None:
    other = await cluster.topics.create(f"{name}-other", 1, KEEP)
    await cluster.groups.commit(group, {Partition(topic.name, 0): 1, Partition(topic.name, 1): 2})
    await cluster.groups.commit(group, {Partition(other.name, 0): 3})
    await cluster.groups.forget(group, topic.name)
    assert (await cluster.groups.describe(group, [topic.name, other.name])).positions == {Partition(other.name, 0): 3}
    await cluster.groups.forget(group, topic.name)
    await cluster.groups.forget(group, other.name)
    assert (await cluster.groups.describe(group, [topic.name, other.name])).positions == {}
    await cluster.groups.forget(GroupName(f"{group}-absent"), topic.name)
    with pytest.raises(TopicAbsent):
        await cluster.groups.forget(group, f"{name}-absent")
