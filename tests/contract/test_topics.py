"""The laws of `mesh.ports.Topics`."""

from __future__ import annotations

import pytest

from mesh.cluster_errors import TopicAbsent, TopicExists
from mesh.ids import IllegalName, Partition
from mesh.ports import Cluster


async def test_a_created_topic_is_described_as_it_was_asked_for(cluster: Cluster, name: str) -> None:
    created = await cluster.topics.create(name, 3, {"retention.ms": "3600000"})
    described = await cluster.topics.describe(name)
    assert described == created
    assert (described.name, described.partitions) == (name, 3)
    assert described.config["retention.ms"] == "3600000"


async def test_a_topic_says_how_long_it_keeps_records_unless_for_ever(cluster: Cluster, name: str) -> None:
    topic = await cluster.topics.create(name, 1, {})
    assert (topic.config.get("retention.ms") is not None) == (cluster.kind == "kafka")
    assert await cluster.topics.describe(name) == topic


async def test_a_new_topic_can_be_used_at_once(cluster: Cluster, name: str) -> None:
    await cluster.topics.create(name, 2, {})
    assert await cluster.source.range(Partition(name, 1)) == (0, 0, 0)


async def test_a_name_is_taken_once(cluster: Cluster, name: str) -> None:
    created = await cluster.topics.create(name, 1, {})
    with pytest.raises(TopicExists):
        await cluster.topics.create(name, 2, {})
    assert await cluster.topics.describe(name) == created


@pytest.mark.parametrize("illegal", ["", ".", "..", "a/b", "a b", "ü", "x" * 250, "__consumer_offsets", "_mesh.lanes"])
async def test_an_illegal_or_internal_name_is_refused(cluster: Cluster, illegal: str) -> None:
    with pytest.raises(IllegalName):
        await cluster.topics.create(illegal, 1, {})


async def test_an_absent_topic_is_neither_described_nor_deleted(cluster: Cluster, name: str) -> None:
    with pytest.raises(TopicAbsent):
        await cluster.topics.describe(name)
    with pytest.raises(TopicAbsent):
        await cluster.topics.delete(name)


async def test_topics_are_listed_by_name_without_internal_ones(cluster: Cluster, name: str) -> None:
    for suffix in ("-b", "-a"):
        await cluster.topics.create(name + suffix, 1, {})
    names = [topic.name for topic in await cluster.topics.list()]
    assert names == sorted(names)
    assert [found for found in names if found.startswith(name)] == [f"{name}-a", f"{name}-b"]
    assert not [found for found in names if found.startswith(("__", "_mesh."))]


async def test_a_deleted_topic_is_gone_and_its_next_incarnation_is_another(cluster: Cluster, name: str) -> None:
    first = await cluster.topics.create(name, 1, {})
    await cluster.topics.delete(name)
    with pytest.raises(TopicAbsent):
        await cluster.topics.describe(name)
    assert name not in [topic.name for topic in await cluster.topics.list()]
    second = await cluster.topics.create(name, 1, {})
    assert second.topic_id != first.topic_id
