"""The compare of compare-and-append: how a log judges the next batch of a producer (rule B).

These are a Kafka leader's rules, applied by every log of ours: the last five batches of a producer are remembered per
partition; an exact repeat is answered with its first offset, the direct successor is taken, all else is refused.
A log that knows nothing of a producer takes any first sequence. A newer epoch begins at sequence 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from mesh.batch.stamp import SEQUENCE_MASK, next_sequence

REMEMBERED = 5
"""As many batches as Kafka keeps, which is also its limit of requests in flight of an idempotent producer."""


class Written(NamedTuple):
    """A batch that the log holds, as the producer numbered it."""

    base_sequence: int
    records: int
    base_offset: int

    @property
    def next_sequence(self) -> int:
        return next_sequence(self.base_sequence, self.records)


@dataclass(frozen=True, slots=True)
class ProducerState:
    """What a partition remembers of a producer: its newest epoch and its last batches under it, oldest first."""

    epoch: int
    recent: tuple[Written, ...]

    @property
    def last_sequence(self) -> int | None:
        return (self.recent[-1].next_sequence - 1) & SEQUENCE_MASK if self.recent else None


class Refusal(Enum):
    FENCED = "fenced"
    OUT_OF_LINE = "out of line"


Verdict: TypeAlias = Written | Refusal | None
"""The batch that this one repeats, why it is refused, or None: append it."""


def judge(state: ProducerState | None, epoch: int, base_sequence: int, count: int) -> Verdict:
    """What to do with a batch of `count` records that begins at `base_sequence`."""
    if state is None:
        return None
    if epoch != state.epoch:
        return _judge_new_epoch(state, epoch, base_sequence)
    for written in state.recent:
        if written.base_sequence == base_sequence and written.records == count:
            return written
    expected = state.recent[-1].next_sequence if state.recent else 0
    return None if base_sequence == expected else Refusal.OUT_OF_LINE


def after(state: ProducerState | None, epoch: int, written: Written) -> ProducerState:
    """The state once `written`, judged appendable, is in the log."""
    if state is None or state.epoch != epoch:
        return ProducerState(epoch, (written,))
    return ProducerState(epoch, (*state.recent[1 - REMEMBERED :], written))


def _judge_new_epoch(state: ProducerState, epoch: int, base_sequence: int) -> Verdict:
    if epoch < state.epoch:
        return Refusal.FENCED
    return None if base_sequence == 0 else Refusal.OUT_OF_LINE
