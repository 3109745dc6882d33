"""What speaks `mesh.local.v1`: a gateway over the embedded log, one over Kafka, and the server for users' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import grpc.aio
import pytest

from tests.support.local_calls import LocalCalls
from tests.support.local_grpc import CHANNEL, local_grpc

KEEP = {"retention.ms": "-1"}
MakeTopic: TypeAlias = Callable[[int], Awaitable[str]]


@dataclass
class Site:
    """Calls, and how a topic of so many partitions comes into being there; `grow` gives it more."""

    kind: str
    calls: LocalCalls
    make_topic: MakeTopic
    grow: Callable[[str, int], Awaitable[object]]


@asynccontextmanager
async def _embedded(directory: Path) -> AsyncIterator[Site]:
    async with local_grpc(directory) as local:

        async def make(partitions: int) -> str:
            return (await local.cluster.topics.create(f"t-{uuid4().hex[:8]}", partitions, KEEP)).name

        yield Site("embedded", local.calls, make, local.cluster.topics.grow)


@asynccontextmanager
async def _kafka(directory: Path) -> AsyncIterator[Site]:
    from tests.support.brokers import open_cluster

    async with open_cluster() as cluster, local_grpc(directory, cluster=cluster) as local:

        async def make(partitions: int) -> str:
            return (await cluster.topics.create(f"t-{uuid4().hex[:8]}", partitions, KEEP)).name

        yield Site("kafka", local.calls, make, cluster.topics.grow)


@asynccontextmanager
async def _memory(directory: Path) -> AsyncIterator[Site]:
    from mesh.testing.local_gateway import LocalGateway

    async with LocalGateway() as gateway, grpc.aio.insecure_channel(gateway.address, options=CHANNEL) as channel:

        async def make(partitions: int) -> str:
            name = f"t-{uuid4().hex[:8]}"
            gateway.create_topic(name, partitions)
            return name

        async def grow(name: str, partitions: int) -> None:
            gateway.grow_topic(name, partitions)

        yield Site("memory", LocalCalls(channel, gateway.token), make, grow)


_OPEN = {"embedded": _embedded, "kafka": _kafka, "memory": _memory}


@pytest.fixture(params=["embedded", "memory", pytest.param("kafka", marks=pytest.mark.kafka)])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with _OPEN[request.param](tmp_path) as site:
        yield site


@pytest.fixture
def calls(site: Site) -> LocalCalls:
    return site.calls


@pytest.fixture
async def topic(site: Site) -> str:
    """Of two partitions."""
    return await site.make_topic(2)
