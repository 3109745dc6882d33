"""A copy that is not complete is never a result."""

from __future__ import annotations

import os

import pytest

from bench.watch import Watcher, ends
from mesh.ids import Partition
from mesh.testing.cluster import FakeCluster
from tests.support.batches import numbered, plain_batch

TOPIC = "copy"


@pytest.fixture
async def fake() -> FakeCluster:
    fake = FakeCluster()
    await fake.ports.topics.create(TOPIC, 2, {})
    fake.put_raw(Partition(TOPIC, 0), plain_batch(numbered(1, 2, 3)))
    return fake


def watcher(fake: FakeCluster, expected: list[int]) -> Watcher:
    return Watcher(fake.ports, TOPIC, expected, {"us": os.getpid()}, lambda: None)


async def test_a_partition_that_stays_behind_fails_the_run(fake: FakeCluster) -> None:
    with pytest.raises(RuntimeError, match=r"copy holds \[3, 0\] after 0 s, not \[3, 1\]"):
        await watcher(fake, [3, 1]).run(0.2)


async def test_the_end_is_when_all_is_there(fake: FakeCluster) -> None:
    watched = await watcher(fake, [3, 0]).run(5)
    assert watched.last.records == 3
    assert watched.last.cpu["us"] >= watched.first.cpu["us"] > 0


async def test_a_topic_that_is_not_there_yet_holds_nothing(fake: FakeCluster) -> None:
    assert await ends(fake.ports, "absent", 2) == [0, 0]
