"""Watches a destination topic fill, from outside of whoever fills it, and notes CPU times as it does.

The log ends are asked for often until the first record and then every `PAUSE_S`. What was there at a moment is what the
broker answered, so a moment is late by at most a pause, for every mirror alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.cpu import cpu_of
from mesh.cluster_errors import PartitionAbsent, TopicAbsent
from mesh.errors import NetworkError
from mesh.ids import Partition
from mesh.ports import Cluster

FIRST_PAUSE_S = 0.02
PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the copy was at `at_s` (monotonic), and the CPU seconds that each process had used until then."""

    at_s: float
    records: int
    cpu: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Watched:
    """The first record seen, the first moment with half of them, and the end."""

    first: Mark
    half: Mark
    last: Mark


@dataclass(frozen=True, slots=True)
class Watcher:
    """`check` raises where a mirror has ended; `processes` are the pids to note."""

    cluster: Cluster
    topic: str
    expected: list[int]
    """Records by partition."""
    processes: Mapping[str, int]
    check: Callable[[], None]
    held: int = 0
    """Of them, how many were there before: the first is the next one."""

    async def run(self, timeout_s: float) -> Watched:
        """Until every partition holds what is expected. Raises RuntimeError if that is not so in time."""
        try:
            async with asyncio.timeout(timeout_s):
                first = await self._reached(self.held + 1, FIRST_PAUSE_S)
                half = await self._reached((self.held + sum(self.expected)) // 2, PAUSE_S)
                return Watched(first, half, await self._reached(sum(self.expected), PAUSE_S))
        except TimeoutError:
            held = await ends(self.cluster, self.topic, len(self.expected))
            raise RuntimeError(f"{self.topic} holds {held} after {timeout_s:.0f} s, not {self.expected}") from None

    async def _reached(self, records: int, pause_s: float) -> Mark:
        while True:
            self.check()
            held = sum(await ends(self.cluster, self.topic, len(self.expected)))
            if held >= records:
                return Mark(time.monotonic(), held, cpu_of(self.processes))
            await asyncio.sleep(pause_s)


async def ends(cluster: Cluster, topic: str, partitions: int) -> list[int]:
    """The log end of each partition, 0 where there is none yet."""
    return [await _end(cluster, Partition(topic, number)) for number in range(partitions)]


async def _end(cluster: Cluster, partition: Partition) -> int:
    try:
        return (await cluster.source.range(partition)).end
    except (TopicAbsent, PartitionAbsent, NetworkError):
        return 0
