"""What the gateways of an organization know of a partition that is published to under idempotency keys. A value.

There is one for the keys that any gateway may be asked by, and one for each gateway's own. Of each, one producer at a
time writes records to the partition. Who takes its place shuts it out first, and then reads in the log which keys there
are: from the newest mark on that is older than the time for which keys are kept. A mark is where the log ended at some
time; the log's own timestamps are the applications' and say nothing of when.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mesh.batch.stamp import Producer

MARKS_PER_WINDOW = 4
LAST_EPOCH = 30_000
"""Epochs have 16 bits: beyond this one a producer of another name is taken."""
MAX_FORMER = 8


@dataclass(frozen=True, slots=True)
class Holding:
    """Stored under `key_of` in the control state."""

    topic_id: str
    producer: Producer
    generation: int = 0
    """Rises with the producer's name."""
    former: tuple[int, ...] = ()
    """Ids of producers before it."""
    marks: tuple[tuple[int, int], ...] = ()
    """Time in ms and the log's end then, by time; nothing was written under a key before the first of them."""

    @property
    def ids(self) -> frozenset[int]:
        """Whose records count."""
        return frozenset({self.producer.id, *self.former})

    def start(self, now_ms: int, window_ms: int) -> int:
        """Where to read from, to know of every key that was written in the window."""
        older = [offset for at_ms, offset in self.marks if at_ms <= now_ms - window_ms]
        return older[-1] if older else self.marks[0][1]

    def is_due(self, now_ms: int, window_ms: int) -> bool:
        """Whether it is time for another mark."""
        return not self.marks or now_ms - self.marks[-1][0] >= window_ms // MARKS_PER_WINDOW

    def marked(self, now_ms: int, end: int, window_ms: int) -> Holding:
        """With a mark for now where one is due, and of the marks that are older than the window only the last."""
        marks = self.marks
        if self.is_due(now_ms, window_ms):
            marks = (*marks, (now_ms, end))
        older = [mark for mark in marks if mark[0] <= now_ms - window_ms]
        return replace(self, marks=(*older[-1:], *(mark for mark in marks if mark not in older)))

    def taken_by(self, producer: Producer) -> Holding:
        """The same, written by `producer` from now on."""
        if producer.id == self.producer.id:
            return replace(self, producer=producer)
        former = (*self.former, self.producer.id)[-MAX_FORMER:]
        return replace(self, producer=producer, generation=self.generation + 1, former=former)

    def encode(self) -> bytes:
        fields: dict[str, Any] = {
            "topic_id": self.topic_id,
            "producer": list(self.producer),
            "generation": self.generation,
            "former": list(self.former),
            "marks": [list(mark) for mark in self.marks],
        }
        return json.dumps(fields, separators=(",", ":")).encode()


def decode(data: bytes) -> Holding:
    """What `encode` wrote. Raises ValueError, KeyError, TypeError for anything else."""
    fields: Mapping[str, Any] = json.loads(data)
    return Holding(
        str(fields["topic_id"]),
        Producer(*map(int, fields["producer"])),
        int(fields["generation"]),
        tuple(map(int, fields["former"])),
        tuple((int(at_ms), int(offset)) for at_ms, offset in fields["marks"]),
    )


def key_of(topic: str, partition: int, gateway: str = "") -> str:
    """`gateway`: whose own keys it is about; empty: those that any gateway may be asked by."""
    return f"local/{topic}/{partition}/{gateway}".rstrip("/")


def name_of(topic: str, partition: int, generation: int, gateway: str = "") -> str:
    """What the producer is called in its cluster, so that it can be shut out. No lane's is: their names have no dot."""
    return f"mesh.local.{topic}/{partition}/{gateway or '*'}/{generation}"
