"""Where calls between gateways and clusters take time and fail; and what of a source lies behind them."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, cast

from mesh.batch.header import split
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import Partition, TopicId
from mesh.log import Fetched, LogRange, Topic
from mesh.ports import Cluster
from mesh.testing.cluster import FakeCluster
from tests.simulator.truth import Truth

SLOW_S = 3.0


class Edges:
    """Where calls to clusters wait and fail. `arm` makes the next call of an operation fail in the way named."""

    def __init__(self, random: Random, seen: Counter[str]) -> None:
        self._random = random
        self.seen = seen
        self._armed: dict[str, deque[str]] = defaultdict(deque)

    def arm(self, operation: str, how: str) -> None:
        self._armed[operation].append(how)

    def heal(self) -> None:
        self._armed.clear()

    def take(self, operation: str) -> str:
        armed = self._armed.get(operation)
        if not armed:
            return ""
        how = armed.popleft()
        self.seen[f"{operation} {how}"] += 1
        return how

    async def pause(self) -> None:
        """A step of its own at the least, now and then some time."""
        await asyncio.sleep(0.004 if self._random.random() < 0.2 else 0)

    async def before(self, operation: str) -> str:
        how = self.take(operation)
        if how == "slow":
            await asyncio.sleep(SLOW_S)
        else:
            await self.pause()
        if how == "before":
            raise ClusterUnreachable("simulated", "the connection was refused")
        return how

    def after(self, how: str) -> None:
        if how == "after":
            raise ClusterUnreachable("simulated", "the connection broke before the answer")

    def choose(self, count: int) -> int:
        return int(self._random.random() * count)


class SimulatedSource:
    """Reads; with `truths`, names aborted transactions as a broker's index does."""

    def __init__(self, cluster: FakeCluster, edges: Edges, truths: Mapping[Partition, Truth]) -> None:
        self._source = cluster.ports.source
        self._edges = edges
        self._truths = truths
        self.offset_at = self._source.offset_at

    async def fetch(
        self,
        partition: Partition,
        offset: int,
        topic_id: TopicId | None,
        max_bytes: int,
        wait_s: float,
        last_epoch: int = -1,
    ) -> Fetched:
        how = await self._edges.before("fetch")
        fetched = await self._source.fetch(partition, offset, topic_id, max_bytes, wait_s, last_epoch)
        if partition in self._truths and fetched.data:
            truth, headers = self._truths[partition], [header for header, _ in split(fetched.data)]
            self._edges.seen["fetches from within a transaction"] += truth.is_inside(offset)
            aborted = truth.aborted(headers[0].base_offset, headers[-1].next_offset)
            fetched = replace(fetched, aborted=aborted)
        await self._edges.pause()
        self._edges.after(how)
        return fetched

    async def range(self, partition: Partition) -> LogRange:
        await self._edges.before("range")
        return await self._source.range(partition)


class SimulatedTopics:
    def __init__(self, cluster: FakeCluster, edges: Edges) -> None:
        self._topics = cluster.ports.topics
        self._edges = edges

    def __getattr__(self, name: str) -> Any:
        return getattr(self._topics, name)

    async def describe(self, name: str) -> Topic:
        await self._edges.before("describe")
        return await self._topics.describe(name)


def source_ports(cluster: FakeCluster, edges: Edges, truths: Mapping[Partition, Truth]) -> Cluster:
    topics = cast(Any, SimulatedTopics(cluster, edges))
    return replace(cluster.ports, topics=topics, source=cast(Any, SimulatedSource(cluster, edges, truths)))
