"""The line of writers of a partition: all gateways write as one producer, so that who was not quickest is refused.

This is rule B between gateways. The leader takes a batch only directly behind the last one of its producer and answers
a repeat with the first offset; so whoever writes as the *same* producer, at the sequence that follows on what it has
read, lands exactly where it believes or not at all. A newer epoch of the producer shuts out every older one, at once.

A. The producer's id follows from the topic's id and the partition: every gateway knows it without asking, and racing
   ones agree on it. It lies beyond all ids that brokers give out. A leader keeps what it knows of a producer by number
   and asks nobody whether the number was given out; nor whether an epoch was.
B. Where the line stands is read in the log, in the headers of its batches.
C. An answer alone proves nothing: another gateway's batch of as many records at the same place looks like a repeat of
   ours. Each append carries a token of its own, by which it is recognized when the log is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from mesh.batch.encode import encode
from mesh.batch.header import BatchHeader
from mesh.batch.records import Record
from mesh.batch.stamp import Producer, StampedBatch, next_sequence, restamp
from mesh.ids import TopicId

TOKEN = "mesh.append"
"""The header of the first record of each batch that names the append."""
LAST_EPOCH = (1 << 15) - 2
"""The one after it only ends an id: nothing is put under it, so that nobody is left behind who could still write."""
_OURS = 1 << 62
_GENERATION_BITS = 16
_HASH_BITS = 62 - _GENERATION_BITS


class Place(NamedTuple):
    producer: Producer
    sequence: int


@dataclass(slots=True)
class Line:
    """Where the line stands, as far as the log has been read."""

    base_id: int
    producer: Producer
    next_sequence: int = 0
    is_begun: bool = False
    """Whether the log holds a batch of it."""

    @classmethod
    def of(cls, topic_id: TopicId, partition: int) -> Line:
        digest = hashlib.sha256(f"mesh line {topic_id} {partition}".encode()).digest()
        base_id = _OURS | (int.from_bytes(digest[:8], "big") % (1 << _HASH_BITS)) << _GENERATION_BITS
        return cls(base_id, Producer(base_id, 0))

    def saw(self, header: BatchHeader) -> None:
        """The next batch of the log; one of another producer does not matter to the line."""
        if header.producer_id >> _GENERATION_BITS == self.base_id >> _GENERATION_BITS:
            self.producer = Producer(header.producer_id, header.producer_epoch)
            self.next_sequence = next_sequence(header.base_sequence, header.last_offset_delta + 1)
            self.is_begun = True

    @property
    def next(self) -> Place:
        """Where the next batch goes, if it is to be refused when somebody else is quicker."""
        return Place(self.producer, self.next_sequence)

    @property
    def newer(self) -> Place:
        """The first place of the next epoch: from it on, whoever writes under the present one is shut out."""
        if self.producer.epoch > LAST_EPOCH:
            return Place(Producer(self.producer.id + 1, 0), 0)
        return Place(Producer(self.producer.id, self.producer.epoch + 1), 0)

    @property
    def is_ending(self) -> bool:
        """Whether the present epoch only ends its id."""
        return self.producer.epoch > LAST_EPOCH


class Appends:
    """What this gateway appends to lines: batches with tokens. `name` is of this process and no other."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._numbers = count()

    def token(self) -> bytes:
        return b"%s-%d" % (self._name, next(self._numbers))


def encoded(token: bytes, now_ms: int, entries: list[tuple[str, bytes | None]]) -> bytes:
    """The entries as one batch, under no producer yet."""
    records = [Record(at, now_ms, key.encode(), value) for at, (key, value) in enumerate(entries)]
    records[0] = records[0]._replace(headers=((TOKEN, token),))
    return encode(records)


def placed(batch: bytes, place: Place) -> StampedBatch:
    return restamp(batch, place.producer, place.sequence)
