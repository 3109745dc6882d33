"""The laws of `mesh.ports.Topics`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.cluster_errors import BatchRefused, TopicAbsent, TopicExists
from mesh.ids import IllegalName, Partition
from mesh.log import Topic
from mesh.ports import Cluster
from tests.support.batches import stamped


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


async def test_topics_are_listed_by_a_choice_of_names(cluster: Cluster, name: str) -> None:
    for suffix in ("-b", "-a"):
        await cluster.topics.create(name + suffix, 1, {})
    assert [topic.name for topic in await cluster.topics.list(f"{name}-b".__eq__)] == [f"{name}-b"]


async def test_a_topic_grows_and_never_shrinks(cluster: Cluster, name: str) -> None:
    created = await cluster.topics.create(name, 1, {"retention.ms": "3600000"})
    grown = await cluster.topics.grow(name, 3)
    assert grown == replace(created, partitions=3)
    assert await cluster.source.range(Partition(name, 2)) == (0, 0, 0)
    assert await cluster.topics.grow(name, 2) == grown
    assert await cluster.topics.describe(name) == grown


async def test_settings_are_set_and_taken_back(cluster: Cluster, name: str) -> None:
    created = await cluster.topics.create(name, 1, {"retention.ms": "3600000", "retention.bytes": "5000"})
    changed = await cluster.topics.configure(name, {"retention.bytes": None, "max.message.bytes": "2000000"})
    assert changed.topic_id == created.topic_id
    assert changed.config == {"retention.ms": "3600000", "max.message.bytes": "2000000"}
    assert await cluster.topics.describe(name) == changed


async def test_a_changed_limit_holds_for_the_next_append(cluster: Cluster, name: str) -> None:
    await cluster.topics.create(name, 1, {"max.message.bytes": "100", "retention.ms": "-1"})
    producer, place = await cluster.destination.producer(), Partition(name, 0)
    batch = stamped(producer, 0, [b"x" * 200])
    with pytest.raises(BatchRefused):
        await cluster.destination.append(place, batch)
    await cluster.topics.configure(name, {"max.message.bytes": "10000"})
    assert await cluster.destination.append(place, batch) == 0


async def test_the_size_of_a_log_is_what_it_takes_up(cluster: Cluster, topic: Topic) -> None:
    producer, place = await cluster.destination.producer(), Partition(topic.name, 1)
    batch = stamped(producer, 0, [b"x" * 200])
    await cluster.destination.append(place, batch)
    assert await cluster.topics.sizes(topic.name) == {0: 0, 1: batch.size_bytes}


async def test_what_is_absent_neither_grows_nor_changes_nor_has_a_size(cluster: Cluster, name: str) -> None:
    for request in (cluster.topics.grow(name, 2), cluster.topics.configure(name, {}), cluster.topics.sizes(name)):
        with pytest.raises(TopicAbsent):
            await request
