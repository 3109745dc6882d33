"""Cursors: consumer groups of the own cluster, so that its tools see them and subscriptions copy and translate them.

A. One reader at a time has a cursor on a topic at this gateway: whoever has its lease. Nobody else commits meanwhile.
B. What a reader commits is done before the next reader asks where to begin.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from hmac import compare_digest

from gateway.local.values import Cursor
from mesh.cluster_errors import PartitionAbsent
from mesh.ids import GroupName, Partition, TopicName
from mesh.local.errors import CursorAbsent, CursorInUse, LeaseLost, PositionOutsideLog
from mesh.log import Topic
from mesh.ports import Cluster


@dataclass(eq=False, slots=True)
class Lease:
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    given: dict[int, int] = field(default_factory=dict)
    """How far the reader was given each partition: positions up to there are of this log."""
    topic: Topic | None = None
    """As the reader found it."""
    committing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Cursors:
    cluster: Cluster
    _leases: dict[tuple[str, str], Lease] = field(default_factory=dict)

    @asynccontextmanager
    async def leased(self, cursor: str, topic: str) -> AsyncIterator[Lease]:
        """For who reads by the cursor, as long as he reads. Raises CursorInUse, IllegalName."""
        with self._lease(GroupName(cursor), topic) as lease:
            try:
                yield lease
            finally:
                async with lease.committing:  # B
                    lease.token = ""

    @contextmanager
    def _lease(self, cursor: str, topic: str) -> Iterator[Lease]:
        place = cursor, topic
        if place in self._leases:
            raise CursorInUse(cursor, topic)
        lease = self._leases[place] = Lease()
        try:
            yield lease
        finally:
            del self._leases[place]

    async def positions(self, cursor: str, topic: str) -> dict[int, int]:
        """By partition, of those that have one. Raises IllegalName."""
        group = await self.cluster.groups.describe(GroupName(cursor), {topic})
        return {partition.number: position for partition, position in group.positions.items()}

    async def commit(self, cursor: str, topic: str, positions: Mapping[int, int], token: str = "") -> None:
        """As `LocalApi.commit`."""
        name = GroupName(cursor)
        held = self._leases.get((name, topic)) if token else None
        if held is None or held.topic is None:
            found = await self.cluster.topics.describe(str(TopicName(topic)))
            if token:
                raise LeaseLost(cursor, topic)
            with self._lease(name, topic) as lease:
                await self._commit(name, found, positions, lease)
            return
        async with held.committing:
            if not compare_digest(held.token.encode(), token.encode()):
                raise LeaseLost(cursor, topic)
            await self._commit(name, held.topic, positions, held)

    async def _commit(self, name: GroupName, topic: Topic, positions: Mapping[int, int], lease: Lease) -> None:
        for number, position in positions.items():
            if not 0 <= number < topic.partitions:
                raise PartitionAbsent(topic.name, number, topic.partitions)
            if position > lease.given.get(number, -1) or position < 0:
                end = (await self.cluster.source.range(Partition(topic.name, number))).end
                if not 0 <= position <= end:
                    raise PositionOutsideLog(topic.name, number, position, end)
        if positions:
            wanted = {Partition(topic.name, number): position for number, position in positions.items()}
            await self.cluster.groups.commit(name, wanted)

    async def get(self, cursor: str, topic: str) -> Cursor:
        """As `LocalApi.cursor`."""
        name, found = GroupName(cursor), await self.cluster.topics.describe(str(TopicName(topic)))
        positions, is_read = await self.positions(name, found.name), (name, topic) in self._leases
        if not positions and not is_read:
            raise CursorAbsent(cursor, topic)
        return Cursor(name, found.name, positions, is_read)

    async def delete(self, cursor: str, topic: str) -> None:
        """As `LocalApi.delete_cursor`."""
        name, found = GroupName(cursor), await self.cluster.topics.describe(str(TopicName(topic)))
        with self._lease(name, topic):
            if not await self.positions(name, found.name):
                raise CursorAbsent(cursor, topic)
            await self.cluster.groups.forget(name, found.name)
