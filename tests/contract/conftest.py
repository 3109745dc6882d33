"""The clusters that the contract suites run on: the fake, the embedded log, and a real Kafka broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import pytest

from gateway.embedded.cluster import open_embedded
from mesh.ids import Partition
from mesh.log import Topic
from mesh.ports import Cluster
from mesh.testing.cluster import FakeCluster

KEEP = {"retention.ms": "-1"}
"""Test records have fixed, old timestamps: a broker's retention must not take them."""

DropBelow: TypeAlias = Callable[[Partition, int], Awaitable[None]]
Opened: TypeAlias = tuple[Cluster, DropBelow]


@asynccontextmanager
async def _open_fake(directory: Path) -> AsyncIterator[Opened]:
    fake = FakeCluster()

    async def drop_below(partition: Partition, offset: int) -> None:
        fake.delete_before(partition, offset)

    yield fake.ports, drop_below
    await fake.ports.close()


@asynccontextmanager
async def _open_embedded(directory: Path) -> AsyncIterator[Opened]:
    cluster = await open_embedded(directory, now_ms=0)

    async def drop_below(partition: Partition, offset: int) -> None:
        # Retention by size keeps the last batch of such a topic; the tests ask for no more.
        await cluster.maintain(0)

    try:
        yield cluster, drop_below
    finally:
        await cluster.close()


@asynccontextmanager
async def _open_kafka(directory: Path) -> AsyncIterator[Opened]:
    from tests.support.brokers import delete_records, open_cluster

    async with open_cluster() as cluster:
        yield cluster, delete_records


_OPEN = {"fake": _open_fake, "embedded": _open_embedded, "kafka": _open_kafka}


@pytest.fixture(params=["fake", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    async with _OPEN[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def cluster(opened: Opened) -> Cluster:
    return opened[0]


@pytest.fixture
async def other(cluster: Cluster) -> AsyncIterator[Cluster]:
    """The same cluster as another gateway has it; the embedded log and the fake are of one process."""
    if cluster.kind != "kafka":
        yield cluster
        return
    from tests.support.brokers import open_cluster

    async with open_cluster() as other:
        yield other


@pytest.fixture
def drop_below(opened: Opened) -> DropBelow:
    """Take what lies below an offset out of a partition of a topic with `retention.bytes` 1."""
    return opened[1]


@pytest.fixture
def name() -> str:
    """A topic name of this test's own: the broker is shared."""
    return f"contract-{uuid4().hex[:12]}"


@pytest.fixture
async def topic(cluster: Cluster, name: str) -> Topic:
    return await cluster.topics.create(name, 2, KEEP)


@pytest.fixture
def partition(topic: Topic) -> Partition:
    return Partition(topic.name, 1)
