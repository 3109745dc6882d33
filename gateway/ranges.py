"""The ranges of many partitions, asked side by side: a topic may have a thousand of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mesh.ids import Partition
from mesh.log import LogRange
from mesh.ports import Source

AT_ONCE = 16


async def ranges_of(source: Source, partitions: Iterable[Partition]) -> dict[Partition, LogRange]:
    """Raises TopicAbsent, PartitionAbsent."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(partition: Partition) -> tuple[Partition, LogRange]:
        async with room:
            return partition, await source.range(partition)

    return dict(await asyncio.gather(*map(ask, partitions)))
