"""The one place that writes positions of a group: after its rules, and one write after the other.

A. Only a group without members: looked at here for a good answer, decided by the cluster at the moment of the write.
B. Only forward, unless told otherwise, and only to where the log has a next record: a consumer that is sent elsewhere
   goes where its own reset policy says, and skips or repeats without a word.
C. From the look to the write nobody else of this gateway writes: an older answer never follows a newer one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.failpoints import Place, reach
from gateway.groups.errors import PositionOutsideLog, PositionWouldGoBack
from gateway.ranges import ranges_of
from mesh.cluster_errors import GroupNotEmpty
from mesh.groups import Group, GroupState
from mesh.ids import GroupName, Partition
from mesh.ports import Cluster


class GroupWriter:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = asyncio.Lock()

    async def commit(self, name: GroupName, wanted: Mapping[Partition, int], *, backward: bool = False) -> int:
        """How many positions were changed; all or none are.

        Raises GroupNotEmpty, PositionWouldGoBack, PositionOutsideLog, and what the cluster raises.
        """
        async with self._lock:
            group = await self._cluster.groups.describe(name, {each.topic for each in wanted})
            if group.state is GroupState.ACTIVE:
                raise GroupNotEmpty(name)
            changed = changes(group, wanted)
            if not backward:
                refuse_backward(group, changed)
            await self._check_ranges(name, changed)
            if changed:
                await self._commit(name, changed)
            return len(changed)

    async def advance(self, name: GroupName, wanted: Mapping[Partition, int]) -> Group:
        """Move forward what can be moved, leave the rest as it is; the group as it then stands.

        Writes nothing where it has members. Raises what the cluster raises, GroupNotEmpty where somebody just joins.
        """
        topics = {each.topic for each in wanted}
        async with self._lock:
            group = await self._cluster.groups.describe(name, topics)
            if group.state is GroupState.ACTIVE or not (forward := ahead_of(group, wanted)):
                return group
            ranges = await ranges_of(self._cluster.source, forward)
            inside = {at: to for at, to in forward.items() if ranges[at].start <= to <= ranges[at].end}
            # Looked at again: another gateway may have written, and the ranges of many partitions take a while.
            group = await self._cluster.groups.describe(name, topics)
            forward = ahead_of(group, inside)
            if group.state is GroupState.ACTIVE or not forward:
                return group
            await self._commit(name, forward)
            return Group(name, GroupState.EMPTY, 0, {**group.positions, **forward})

    async def _commit(self, name: GroupName, positions: Mapping[Partition, int]) -> None:
        reach(Place.GROUP_COMMIT)
        await self._cluster.groups.commit(name, positions)
        reach(Place.GROUP_COMMITTED)

    async def _check_ranges(self, name: GroupName, wanted: Mapping[Partition, int]) -> None:
        for partition, held in (await ranges_of(self._cluster.source, wanted)).items():
            if not held.start <= wanted[partition] <= held.end:
                raise PositionOutsideLog(name, *partition, wanted[partition], held.start, held.end)


def changes(group: Group, wanted: Mapping[Partition, int]) -> dict[Partition, int]:
    """What of the wanted positions is not so already."""
    return {partition: position for partition, position in wanted.items() if group.positions.get(partition) != position}


def ahead_of(group: Group, wanted: Mapping[Partition, int]) -> dict[Partition, int]:
    """What of the wanted positions lies further than the group stands."""
    return {
        partition: position for partition, position in wanted.items() if group.positions.get(partition, -1) < position
    }


def refuse_backward(group: Group, wanted: Mapping[Partition, int]) -> None:
    """Raises PositionWouldGoBack."""
    for partition, position in wanted.items():
        present = group.positions.get(partition, -1)
        if present > position:
            raise PositionWouldGoBack(group.name, *partition, present, position)
