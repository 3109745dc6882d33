"""What a log says: the values that the cluster ports answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.batch.stamp import sequence_of
from mesh.ids import TopicId


class LogRange(NamedTuple):
    """`start` is the first offset kept, `end` the next to be written, `last_stable` bounds read_committed."""

    start: int
    end: int
    last_stable: int


class AbortedTransaction(NamedTuple):
    producer_id: int
    first_offset: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """One answer to a fetch, as the log holds it.

    `data` is a sequence of v2 batches: the first may begin before the asked offset, the last may be cut
    (ignore it); `data` stays valid as long as the caller holds it. `aborted` are the aborted transactions that
    overlap it, in any order: filtering is the caller's. `leader_epoch` is the partition's current one, -1 unknown.
    """

    data: memoryview
    aborted: tuple[AbortedTransaction, ...]
    range: LogRange
    leader_epoch: int = -1


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    topic_id: TopicId
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    """What is set on the topic itself, by Kafka's names: `retention.bytes`, `max.message.bytes` …

    `retention.ms` is also there where the cluster has a default for it; without, records are kept for ever."""
    in_force: Mapping[str, str] = field(default_factory=dict)
    """What decides which records the topic takes, the cluster's defaults included; a log may leave out what it does not
    judge by: limits of timestamps, `message.timestamp.type`, `max.message.bytes`, `cleanup.policy`."""

    def setting(self, name: str) -> str | None:
        """As it is in force, else as it is set; None where neither is known."""
        return self.in_force.get(name, self.config.get(name))


class OwnBatch(NamedTuple):
    """A batch in the log that carries the asked producer's id."""

    base_offset: int
    base_sequence: int
    records: int

    def beyond(self, offset: int) -> OwnBatch:
        """The part from `offset` on, where the batch lies across it."""
        before = max(offset - self.base_offset, 0)
        return OwnBatch(self.base_offset + before, sequence_of(self.base_sequence + before), self.records - before)


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What a log says about one producer's writes to a partition (design: recovery of a lane).

    `last_sequence` is what the cluster remembers of the producer, None where it has forgotten; `own` are its
    batches from the asked offset on, in order, and of one that lies across it the part from there; `foreign_count`
    counts offsets from there not written by it.
    """

    range: LogRange
    last_sequence: int | None
    own: tuple[OwnBatch, ...]
    foreign_count: int
    topic_id: TopicId | None = None
    """The incarnation of the topic that was asked."""
