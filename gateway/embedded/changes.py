"""Notification of appends: who waits for a partition to change is woken by the next commit that changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from mesh.ids import Partition


class Changes:
    """Lives on the event loop. A watch begun before a read misses no change that the read did not see."""

    def __init__(self) -> None:
        self._watchers: dict[Partition, set[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"<Changes watchers={sum(map(len, self._watchers.values()))}>"

    @contextmanager
    def watch(self, partition: Partition) -> Iterator[asyncio.Future[None]]:
        """A future that is done at the first change after this; nothing of it is left behind."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watchers = self._watchers.setdefault(partition, set())
        watchers.add(changed)
        try:
            yield changed
        finally:
            watchers.discard(changed)
            if not watchers and self._watchers.get(partition) is watchers:
                del self._watchers[partition]

    def announce(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            for changed in self._watchers.get(partition, ()):
                if not changed.done():
                    changed.set_result(None)

    def announce_all(self) -> None:
        self.announce(tuple(self._watchers))
