"""One partition of a state topic in memory: what its log says, read from where the last reading ended.

A. Memory is a function of the log: entries come and go only as batches are read (`take`), each once and in order, or as
   an append of ours that landed exactly at the end of what had been read (`landed`).
B. A log that was cut back, or whose start passed what was read, is read anew from its start, aside; then it replaces
   what was known, at once. A topic that was deleted and created again is no state of ours: TopicRecreated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.kafka.entries import Entries
from gateway.kafka.line import TOKEN, Line
from mesh.batch.header import HEADER_BYTES, BatchHeader, split
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import StampedBatch, next_sequence
from mesh.ids import Partition, TopicId


@dataclass(slots=True)
class Content:
    """What was read up to `position`."""

    line: Line
    position: int = 0
    leader_epoch: int = -1
    entries: Entries = field(default_factory=Entries)


class StatePartition:
    """`version` rises with each batch."""

    def __init__(self, partition: Partition, topic_id: TopicId) -> None:
        self.partition = partition
        self.topic_id = topic_id
        self.content = self.fresh()
        self.version = 0
        self.touched: dict[str, int] | None = None
        """With which version each key was put or removed last, since somebody who needs it made this a mapping."""
        self.watched: set[bytes] = set()
        """Tokens of appends that are looked for."""
        self.seen: dict[bytes, int] = {}
        """Of those that were found: the version that the append made."""
        self._found: list[bytes] = []

    def __repr__(self) -> str:
        return f"<StatePartition {self.partition}: {len(self.content.entries)} entries, read to {self.position}>"

    @property
    def position(self) -> int:
        return self.content.position

    @property
    def line(self) -> Line:
        return self.content.line

    @property
    def entries(self) -> Entries:
        return self.content.entries

    @contextmanager
    def watching(self, token: bytes) -> Iterator[None]:
        """Within it, `seen` tells of the append with that token."""
        self.watched.add(token)
        try:
            yield
        finally:
            self.watched.discard(token)
            self.seen.pop(token, None)

    def fresh(self) -> Content:
        return Content(Line.of(self.topic_id, self.partition.number))

    def take(self, records: memoryview) -> None:
        """What a fetch answered; what of it is known already is passed over."""
        for header, batch in split(records):
            if header.next_offset > self.position:
                self._apply(self._read(self.content, header, batch))

    def replace(self, content: Content) -> None:
        """The log was read anew (B)."""
        gone = self.entries.keys() - content.entries.keys()
        self.content = content
        self.version += 1
        self._touch([*gone, *content.entries])
        self._note(self.version - 1)  # other changes came with it, so whoever made this one has to look

    def read_aside(self, content: Content, header: BatchHeader, batch: memoryview) -> None:
        self._read(content, header, batch)

    def landed(self, stamped: StampedBatch, entries: Mapping[str, bytes | None]) -> None:
        """An append of ours took the place directly behind what was read."""
        self.content.position += stamped.count
        line = self.content.line
        line.producer, line.is_begun = stamped.producer, True
        line.next_sequence = next_sequence(stamped.base_sequence, stamped.count)
        for key, value in entries.items():
            self.entries.put(key, value)
        self._apply(list(entries))

    def _apply(self, keys: list[str]) -> None:
        self.version += 1
        self._touch(keys)
        self._note(self.version)

    def _touch(self, keys: list[str]) -> None:
        if self.touched is not None:
            self.touched |= dict.fromkeys(keys, self.version)

    def _note(self, version: int) -> None:
        self.seen |= dict.fromkeys(self._found, version)
        self._found.clear()

    def _read(self, content: Content, header: BatchHeader, batch: memoryview) -> list[str]:
        content.position = header.next_offset
        content.leader_epoch = header.leader_epoch
        content.line.saw(header)
        if header.is_control:
            return []
        keys = []
        for record in records_of(header, batch[HEADER_BYTES:]):
            key = (record.key or b"").decode()
            content.entries.put(key, record.value)
            keys.append(key)
            self._look(record)
        return keys

    def _look(self, record: Record) -> None:
        self._found += [value for name, value in record.headers if name == TOKEN and value in self.watched and value]
