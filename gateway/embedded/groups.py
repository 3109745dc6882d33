"""The embedded log as `Groups`: named positions for applications, tests and the demo.

Nobody joins a group here: readers keep their own place and commit it, so a group is empty or absent. Positions belong
to an incarnation of a topic, and go with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import apsw

from gateway.embedded.readers import Readers
from gateway.embedded.writer import Writer
from mesh.cluster_errors import PartitionAbsent, TopicAbsent
from mesh.groups import Group, GroupState, GroupSummary
from mesh.ids import GroupName, Partition

_POSITIONS = (
    "SELECT topics.name, number, position FROM positions JOIN topics USING (topic_id)"
    " WHERE group_name = ? ORDER BY topics.name, number"
)
_FORGET = "DELETE FROM positions WHERE group_name = ? AND topic_id = ?"
_PUT = "INSERT OR REPLACE INTO positions (group_name, topic_id, number, position) VALUES (?, ?, ?, ?)"


class EmbeddedGroups:
    """Implements `mesh.ports.Groups`; GroupNotEmpty is never raised."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def list(self) -> list[GroupSummary]:
        def query(db: apsw.Connection) -> list[GroupSummary]:
            rows = db.execute("SELECT DISTINCT group_name FROM positions ORDER BY group_name")
            return [GroupSummary(GroupName(name), GroupState.EMPTY) for (name,) in rows]

        return await self._readers.read(query)

    async def describe(self, name: GroupName, topics: Collection[str]) -> Group:
        wanted = frozenset(topics)

        def query(db: apsw.Connection) -> Group:
            rows: list[Any] = db.execute(_POSITIONS, (name,)).fetchall()
            found = {Partition(str(topic), int(number)): int(at) for topic, number, at in rows if topic in wanted}
            return Group(name, GroupState.EMPTY if rows else GroupState.ABSENT, 0, found)

        return await self._readers.read(query)

    async def commit(self, name: GroupName, positions: Mapping[Partition, int]) -> None:
        def commit(db: apsw.Connection) -> None:
            rows = [(name, _topic_id(db, each), each.number, position) for each, position in positions.items()]
            db.executemany(_PUT, rows)

        await self._writer.change(commit)

    async def forget(self, name: GroupName, topic: str) -> None:
        def forget(db: apsw.Connection) -> None:
            db.execute(_FORGET, (name, _topic_id(db, Partition(topic, 0))))

        await self._writer.change(forget)


def _topic_id(db: apsw.Connection, partition: Partition) -> str:
    """Raises TopicAbsent, PartitionAbsent."""
    row = db.execute("SELECT topic_id, partitions FROM topics WHERE name = ?", (partition.topic,)).fetchone()
    if row is None:
        raise TopicAbsent(partition.topic)
    topic_id, partitions = row
    if not 0 <= partition.number < partitions:
        raise PartitionAbsent(*partition, partitions)
    return str(topic_id)
