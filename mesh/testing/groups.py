"""Consumer groups in memory: members come and go as a test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from mesh.cluster_errors import GroupNotEmpty, PartitionAbsent, TopicAbsent
from mesh.groups import Group, GroupState, GroupSummary
from mesh.ids import GroupName, Partition, TopicId
from mesh.log import Topic


class FakeGroups:
    """Implements `mesh.ports.Groups`. `check` may fail a call, `topic` finds a topic, both as the cluster says."""

    def __init__(self, check: Callable[[], None], topic: Callable[[str], Topic]) -> None:
        self._check = check
        self._topic = topic
        self._members: Counter[GroupName] = Counter()
        self._positions: dict[GroupName, dict[tuple[Partition, TopicId], int]] = {}
        self.commits: list[tuple[GroupName, dict[Partition, int]]] = []
        """What was written, in order."""

    def join(self, name: str) -> None:
        """A consumer joins the group."""
        self._members[GroupName(name)] += 1
        self._positions.setdefault(GroupName(name), {})

    def leave(self, name: str) -> None:
        self._members[GroupName(name)] -= 1

    async def list(self) -> list[GroupSummary]:
        self._check()
        return [GroupSummary(name, self._state(name)) for name in sorted(self._positions)]

    async def describe(self, name: GroupName, topics: Collection[str]) -> Group:
        self._check()
        positions = {
            partition: position
            for (partition, topic_id), position in sorted(self._positions.get(name, {}).items())
            if partition.topic in topics and self._is_current(partition, topic_id)
        }
        return Group(name, self._state(name), self._members[name], positions)

    async def commit(self, name: GroupName, positions: Mapping[Partition, int]) -> None:
        self._check()
        if self._members[name]:
            raise GroupNotEmpty(name)
        topics = {partition: self._topic(partition.topic) for partition in positions}
        for partition, topic in topics.items():
            if not 0 <= partition.number < topic.partitions:
                raise PartitionAbsent(*partition, topic.partitions)
        held = self._positions.setdefault(name, {})
        held.update({(partition, topics[partition].topic_id): found for partition, found in positions.items()})
        self.commits.append((name, dict(positions)))

    async def forget(self, name: GroupName, topic: str) -> None:
        self._check()
        self._topic(topic)
        if self._members[name]:
            raise GroupNotEmpty(name)
        held = self._positions.get(name, {})
        for place in [place for place in held if place[0].topic == topic]:
            del held[place]
        if not held:
            self._positions.pop(name, None)

    def _state(self, name: GroupName) -> GroupState:
        if self._members[name]:
            return GroupState.ACTIVE
        return GroupState.EMPTY if name in self._positions else GroupState.ABSENT

    def _is_current(self, partition: Partition, topic_id: TopicId) -> bool:
        try:
            return self._topic(partition.topic).topic_id == topic_id
        except TopicAbsent:
            return False
