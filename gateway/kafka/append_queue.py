"""The appends of one partition: in order, at most five unanswered, and never past a failure.

Invariants:
- An append whose fate is not known, or that was refused, leaves a *break*: what waits behind it fails unsent, and what
  comes later is refused unsent unless it repeats a sequence at or before the break, until an append succeeds or the
  log has been asked (`mended`). So nothing is sent on a guess (rule G).
- What was definitely not written because the leader moved goes back to its place and is sent again, once everything
  under way has its answer and the leader is found; until its deadline.
- The first append of a producer here goes alone, also after a pause and to a leader found anew. A broker without a
  memory of a producer accepts any first sequence: a second batch behind a refused first one would land in its place.
- Once the log was asked, an append goes over a connection that was open before the question, or over one behind whose
  opening the log was found to end where it was known to (`end`). A broker that starts anew may have forgotten the
  producer, and would take what another has written meanwhile a second time; but its start ends every connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.kafka.errors import AppendNotSent
from mesh.batch.stamp import Producer, StampedBatch
from mesh.cluster_errors import AppendUnknown, ProducerFenced, SequenceRefused
from mesh.errors import MeshError
from mesh.ids import Partition, TopicId
from mesh.ports import StateOf

if TYPE_CHECKING:
    from gateway.kafka.appends import LeaderAppends

MAX_IN_FLIGHT = 5
"""What a broker remembers of a producer, and so what it can recognize when repeated."""
HALF_OF_SEQUENCES = 1 << 30
PAUSE_S = 30.0
"""Without an append; in it a broker may have forgotten a producer whose records are old."""


@dataclass(eq=False, slots=True)
class Append:
    partition: Partition
    batch: StampedBatch
    state: StateOf | None
    answer: asyncio.Future[int]
    deadline: float
    """By the event loop's clock: when a leader that moves is no longer waited for."""


@dataclass(eq=False, slots=True)
class AppendQueue:
    partition: Partition
    leader: LeaderAppends | None = None
    """Who sends what waits; None until the leader is found, and when it proved wrong."""
    finding: bool = False
    topic_id: TopicId | None = None
    """Of the incarnation whose log was asked: what is added goes there or nowhere, if the broker takes ids."""
    end: int | None = None
    """Of the log, by the last question and the answers since; None where nobody has asked, or one who looks himself."""
    waiting: deque[Append] = field(default_factory=deque)
    returned: deque[Append] = field(default_factory=deque)
    """Sent, not written, to be sent again; in order."""
    in_flight: int = 0
    proven: Producer | None = None
    """Whose append succeeded last: the broker remembers it."""
    broken_at: Append | None = None
    last: Append | None = None

    def __repr__(self) -> str:
        broken = "" if self.broken_at is None else f", broken at {self.broken_at.batch.base_sequence}"
        return f"AppendQueue({self.partition}, {len(self.waiting)} waiting, {self.in_flight} in flight{broken})"

    @property
    def may_send(self) -> bool:
        if not self.waiting or self.returned or self.leader is None:
            return False
        alone = self.waiting[0].batch.producer != self.proven
        return self.in_flight < (1 if alone else MAX_IN_FLIGHT)

    def add(self, append: Append) -> None:
        if self.broken_at is not None and _is_past(append.batch, self.broken_at.batch):
            fail(append, AppendNotSent(*self.partition, "an earlier one failed and the log was not asked"))
            return
        if self.last is not None and append.deadline - self.last.deadline > PAUSE_S:
            self.proven = None  # deadlines lie as far apart as the moments of their appends
        self.waiting.append(append)
        self.last = append

    def take(self) -> Append:
        self.in_flight += 1
        return self.waiting.popleft()

    def succeeded(self, append: Append, base_offset: int) -> None:
        self.in_flight -= 1
        if self.end is not None:
            self.end = max(self.end, base_offset + append.batch.count)  # a repeat is answered with its first offset
        self.proven, self.broken_at = append.batch.producer, None

    def give_back(self, append: Append, error: MeshError, now: float) -> None:
        """The broker answered that it is not the leader, so nothing was written."""
        if now >= append.deadline:
            self.failed(append, error)
            return
        self.in_flight -= 1
        self.lose_leader()
        self.returned.append(append)

    def lose_leader(self) -> None:
        """Whoever is found next may know less of the producer."""
        self.leader = self.proven = None

    def found(self, leader: LeaderAppends, end: int | None) -> None:
        """The log was asked for its `end` while the connection of `leader` was open."""
        if self.leader is None:  # a question meanwhile has found one by itself
            if self.end is not None and end != self.end:
                self.refuse(AppendNotSent(*self.partition, f"the log ends at {end}, where {self.end} was known"))
                return
            self.leader = leader
        self.leader.wake(self)

    def restore(self) -> None:
        """Everything under way has its answer: what came back takes its place at the head again."""
        self.waiting.extendleft(reversed(self.returned))
        self.returned.clear()

    def failed(self, append: Append, error: MeshError, *, sent: bool = True) -> None:
        """Answer `append` with its error and what waits behind it with AppendNotSent."""
        self.in_flight -= sent
        if isinstance(error, SequenceRefused | ProducerFenced):
            # the broker remembers the producer: of what waits behind, it refuses itself what is out of line
            fail(append, error)
            return
        self.restore()
        if self.broken_at is None or _is_past(self.broken_at.batch, append.batch):
            self.broken_at = append
        if isinstance(error, AppendUnknown):
            self.proven = None
        fail(append, error)
        waiting, self.waiting = self.waiting, deque()
        for behind in waiting:
            fail(behind, AppendNotSent(*self.partition, f"an earlier one failed: {error}"))

    def refuse(self, error: MeshError) -> None:
        """Nothing that waits can be sent."""
        self.restore()
        if self.waiting:
            self.failed(self.waiting.popleft(), error, sent=False)

    async def settled(self) -> None:
        """Returns when every append added so far has its answer."""
        if self.last is not None and not self.last.answer.done():
            await asyncio.wait([self.last.answer])

    def mended(self, topic_id: TopicId | None = None, end: int | None = None) -> None:
        """The log of that topic was asked while nothing was in flight: whoever asked knows where it stands.

        Without an end, he looks himself before he relies on what a broker remembers.
        """
        self.broken_at, self.topic_id, self.end = None, topic_id, end


def fail(append: Append, error: MeshError) -> None:
    if not append.answer.done():
        append.answer.set_exception(error)


def _is_past(batch: StampedBatch, other: StampedBatch) -> bool:
    """Whether `batch` comes after `other` in the circle of one producer's sequences."""
    if batch.producer != other.producer:
        return False
    return 0 < (batch.base_sequence - other.base_sequence) % (1 << 31) < HALF_OF_SEQUENCES
