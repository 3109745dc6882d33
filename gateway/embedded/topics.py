"""The embedded log as `Topics`: each incarnation of a name has its own id and a higher leader epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import apsw

from gateway.embedded.changes import Changes
from gateway.embedded.config import checked
from gateway.embedded.errors import TopicConfigRefused
from gateway.embedded.readers import Readers
from gateway.embedded.writer import Writer
from mesh.cluster_errors import TopicAbsent, TopicExists
from mesh.ids import TopicId, TopicName
from mesh.log import Topic

MAX_PARTITIONS = 1024
"""Far above what one process can use; a slip of the finger should not make a million rows."""

_NEXT_EPOCH = (
    "INSERT INTO incarnations VALUES (?, 0) ON CONFLICT DO UPDATE SET leader_epoch = leader_epoch + 1"
    " RETURNING leader_epoch"
)


class EmbeddedTopics:
    """Implements `mesh.ports.Topics`. `create` also raises TopicConfigRefused."""

    def __init__(self, writer: Writer, readers: Readers, changes: Changes) -> None:
        self._writer = writer
        self._readers = readers
        self._changes = changes

    async def create(self, name: str, partitions: int, config: Mapping[str, str]) -> Topic:
        if not 1 <= partitions <= MAX_PARTITIONS:
            raise TopicConfigRefused("partitions", f"it must be from 1 to {MAX_PARTITIONS}")
        topic = Topic(TopicName(name), TopicId(uuid4().hex), partitions, checked(config))
        await self._writer.change(_creation(topic))
        return topic

    async def describe(self, name: str) -> Topic:
        return await self._readers.read(lambda db: _topic_of(db, name))

    async def list(self, wanted: Callable[[str], bool] = lambda name: True) -> list[Topic]:
        return [topic for topic in await self._readers.read(_topics) if wanted(topic.name)]

    async def grow(self, name: str, partitions: int) -> Topic:
        if partitions > MAX_PARTITIONS:
            raise TopicConfigRefused("partitions", f"it must be from 1 to {MAX_PARTITIONS}")
        return await self._writer.change(lambda db: _grown(db, _topic_of(db, name), partitions))

    async def configure(self, name: str, settings: Mapping[str, str | None]) -> Topic:
        return await self._writer.change(lambda db: _configured(db, _topic_of(db, name), settings))

    async def sizes(self, name: str) -> Mapping[int, int] | None:
        return await self._readers.read(lambda db: _sizes(db, _topic_of(db, name)))

    async def delete(self, name: str) -> None:
        await self._writer.change(_deletion(name))
        self._changes.announce_all()


def _creation(topic: Topic) -> Callable[[apsw.Connection], None]:
    def create(db: apsw.Connection) -> None:
        if db.execute("SELECT 1 FROM topics WHERE name = ?", (topic.name,)).get:
            raise TopicExists(topic.name)
        leader_epoch = db.execute(_NEXT_EPOCH, (topic.name,)).get
        row = (topic.name, topic.topic_id, topic.partitions, leader_epoch, json.dumps(topic.config))
        db.execute("INSERT INTO topics VALUES (?, ?, ?, ?, ?)", row)
        logs = [(topic.topic_id, number) for number in range(topic.partitions)]
        db.executemany("INSERT INTO partitions (topic_id, number) VALUES (?, ?)", logs)

    return create


def _deletion(name: str) -> Callable[[apsw.Connection], None]:
    def delete(db: apsw.Connection) -> None:
        topic_id = db.execute("DELETE FROM topics WHERE name = ? RETURNING topic_id", (name,)).get
        if topic_id is None:
            raise TopicAbsent(name)
        # The batches go at leisure (retention): removing gigabytes here would hold up every append.
        db.execute("INSERT INTO doomed SELECT log FROM partitions WHERE topic_id = ?", (topic_id,))
        db.execute("DELETE FROM partitions WHERE topic_id = ?", (topic_id,))
        db.execute("DELETE FROM positions WHERE topic_id = ?", (topic_id,))

    return delete


def _topic_of(db: apsw.Connection, name: str) -> Topic:
    found = _topics(db, name)
    if not found:
        raise TopicAbsent(name)
    return found[0]


def _grown(db: apsw.Connection, topic: Topic, partitions: int) -> Topic:
    new = [(topic.topic_id, number) for number in range(topic.partitions, partitions)]
    db.executemany("INSERT INTO partitions (topic_id, number) VALUES (?, ?)", new)
    grown = replace(topic, partitions=max(topic.partitions, partitions))
    db.execute("UPDATE topics SET partitions = ? WHERE topic_id = ?", (grown.partitions, topic.topic_id))
    return grown


def _configured(db: apsw.Connection, topic: Topic, settings: Mapping[str, str | None]) -> Topic:
    merged = {**topic.config, **settings}
    config = {key: value for key, value in merged.items() if value is not None}
    changed = replace(topic, config=checked(config))
    db.execute("UPDATE topics SET config = ? WHERE topic_id = ?", (json.dumps(changed.config), topic.topic_id))
    return changed


def _sizes(db: apsw.Connection, topic: Topic) -> dict[int, int]:
    rows = db.execute(
        "SELECT number, (SELECT coalesce(sum(size), 0) FROM batches WHERE batches.log = partitions.log)"
        " FROM partitions WHERE topic_id = ?",
        (topic.topic_id,),
    )
    return {int(str(number)): int(str(size)) for number, size in rows}


def _topics(db: apsw.Connection, name: str | None = None) -> list[Topic]:
    rows = db.execute(
        "SELECT name, topic_id, partitions, config FROM topics WHERE ?1 IS NULL OR name = ?1 ORDER BY name", (name,)
    )
    return [_topic(*row) for row in rows]


def _topic(name: str, topic_id: str, partitions: int, config: Any) -> Topic:
    return Topic(name, TopicId(topic_id), partitions, json.loads(config))
