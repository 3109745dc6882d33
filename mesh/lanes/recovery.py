"""Recovery of a lane: from its checkpoint and what the log says, where it goes on.

The producer's last sequence, its batches after the checkpoint and the end of the log are three witnesses. They
must tell one story: from the checkpoint's ordinal on, k records without a hole, then nothing. Then the lane goes on,
and the first k records from the source are compared and recorded, not appended. Any other story freezes the lane.

The witnesses are asked one after the other, so a writer that is still alive can make them disagree for a moment
(`FreezeReason.may_pass`): ask again before believing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple

from mesh.batch.header import BatchHeader
from mesh.batch.stamp import sequence_of
from mesh.errors import OperatorError
from mesh.ids import LaneId
from mesh.lanes.checkpoint import Checkpoint
from mesh.log import OwnBatch, Witnesses


class FreezeReason(StrEnum):
    TRUNCATED = "truncated"
    """The destination log ends before the checkpoint, or did and holds another's records there now."""
    OUT_OF_SEQUENCE = "out-of-sequence"
    """The lane's own batches do not follow the checkpoint without a hole."""
    DISAGREEMENT = "disagreement"
    """The cluster's last sequence is another than the log shows."""
    TAIL_LOST = "tail-lost"
    """Retention or compaction at the destination took records that the checkpoint does not cover."""
    UNMATCHED = "unmatched"
    """The source has lost the place from which records that the checkpoint does not cover could be compared."""
    DIFFERENT = "different"
    """A record in the destination log is not the one that the source gives for its place."""

    @property
    def may_pass(self) -> bool:
        return self in (FreezeReason.OUT_OF_SEQUENCE, FreezeReason.DISAGREEMENT)


@dataclass(eq=False)
class LaneFrozen(OperatorError):
    """The lane writes nothing more until a person has looked."""

    lane: str
    reason: FreezeReason
    evidence: str

    code: ClassVar[str] = "lane-frozen"
    sentence: ClassVar[str] = "lane {lane} is frozen ({reason}): {evidence}"
    hint: ClassVar[str] = (
        "find out who truncated, trimmed or wrote to the destination topic; then restore it, "
        "or delete the subscription and subscribe anew to an empty topic"
    )


class Placed(NamedTuple):
    """`records` of them, from `ordinal` on, are in the log densely from `destination_offset`."""

    ordinal: int
    destination_offset: int
    records: int


@dataclass(frozen=True, slots=True)
class Resume:
    ahead: int
    """Records in the log that the checkpoint does not cover."""
    placed: tuple[Placed, ...]
    """Where they are, in order, neighbours joined."""
    producer_forgotten: bool
    """The cluster does not know the producer (any more): it would accept any sequence as its first."""
    foreign_count: int
    """Offsets after the checkpoint that others wrote."""
    log_end: int
    foreign: tuple[tuple[int, int], ...] = ()
    """The stretches [first, end) that others wrote, as the lane met them."""


def decide_resume(lane: LaneId, checkpoint: Checkpoint, witnesses: Witnesses) -> Resume | LaneFrozen:
    """Where the lane goes on, or why it must not. `witnesses` are of the checkpoint's producer and offset."""
    placed = tuple(_placed(checkpoint, witnesses.own))
    ahead = sum(part.records for part in placed)
    found = (
        _truncated(checkpoint, witnesses)
        or _hole(checkpoint, placed, witnesses)
        or _tail_lost(checkpoint, ahead, witnesses)
        or _disagreement(checkpoint, ahead, witnesses)
    )
    if found is not None:
        return LaneFrozen(str(lane), *found)
    foreign = tuple(_foreign(checkpoint, placed, witnesses)) if witnesses.foreign_count else ()
    forgotten = witnesses.last_sequence is None
    return Resume(ahead, _joined(placed), forgotten, witnesses.foreign_count, witnesses.range.end, foreign)


def check_last_copy(lane: LaneId, checkpoint: Checkpoint, own_end: int, header: BatchHeader) -> LaneFrozen | None:
    """`header` is of the batch at or after `own_end - 1`, where the map has the lane's last copy.

    A log that lost its end and was written to by others since reaches beyond the checkpoint again, and of a producer
    that the cluster has forgotten no last sequence tells: then only the batch itself does. Compaction may have taken
    it, which leaves a hole.
    """
    last = own_end - 1
    if header.base_offset > last:
        return None
    sequence = sequence_of(header.base_sequence + last - header.base_offset)
    is_ours = (header.producer_id, header.producer_epoch) == checkpoint.producer
    # Where the checkpoint stands elsewhere, others wrote or what was copied was disowned: ordinals do not tell then.
    in_line = own_end != checkpoint.destination_offset or sequence == sequence_of(checkpoint.ordinal - 1)
    if is_ours and in_line:
        return None
    held = f"sequence {sequence}" if is_ours else f"one of producer {header.producer_id}"
    return LaneFrozen(
        str(lane),
        FreezeReason.TRUNCATED,
        f"the lane's last copy before the checkpoint should be at {last}, of sequence "
        f"{sequence_of(checkpoint.ordinal - 1)} or before; the log holds {held} there",
    )


_Finding = tuple[FreezeReason, str]


def _placed(checkpoint: Checkpoint, own: tuple[OwnBatch, ...]) -> Iterator[Placed]:
    """The ordinal of each is taken from its sequence, by the distance from the checkpoint's."""
    for batch in own:
        distance = sequence_of(batch.base_sequence - checkpoint.ordinal)
        yield Placed(checkpoint.ordinal + distance, batch.base_offset, batch.records)


def _foreign(checkpoint: Checkpoint, placed: tuple[Placed, ...], witnesses: Witnesses) -> Iterator[tuple[int, int]]:
    at = max(checkpoint.destination_offset, witnesses.range.start)
    for part in placed:
        if part.destination_offset > at:
            yield at, part.destination_offset
        at = part.destination_offset + part.records
    if witnesses.range.end > at:
        yield at, witnesses.range.end


def _joined(placed: tuple[Placed, ...]) -> tuple[Placed, ...]:
    joined: list[Placed] = []
    for part in placed:
        last = joined[-1] if joined else None
        if last is not None and last.destination_offset + last.records == part.destination_offset:
            joined[-1] = last._replace(records=last.records + part.records)
        else:
            joined.append(part)
    return tuple(joined)


def _truncated(checkpoint: Checkpoint, witnesses: Witnesses) -> _Finding | None:
    if witnesses.range.end >= checkpoint.destination_offset:
        return None
    return FreezeReason.TRUNCATED, (
        f"the destination log ends at {witnesses.range.end}, the checkpoint stands at {checkpoint.destination_offset}"
    )


def _hole(checkpoint: Checkpoint, placed: tuple[Placed, ...], witnesses: Witnesses) -> _Finding | None:
    ordinal, offset = checkpoint.ordinal, checkpoint.destination_offset
    for part in placed:
        if part.ordinal != ordinal or part.destination_offset < offset:
            # A hole before the first batch that is left, where retention has passed the checkpoint: it took them. One
            # that is just as long as what should be there, and nobody else has written: compaction took them.
            eaten = ordinal == checkpoint.ordinal and witnesses.range.start > checkpoint.destination_offset
            fits = part.destination_offset - offset == part.ordinal - ordinal > 0
            eaten = eaten or (fits and not witnesses.foreign_count)
            return FreezeReason.TAIL_LOST if eaten else FreezeReason.OUT_OF_SEQUENCE, (
                f"the batch at {part.destination_offset} has sequence {sequence_of(part.ordinal)}, expected was "
                f"{sequence_of(ordinal)} at {offset} or later; the log begins at {witnesses.range.start}"
            )
        ordinal, offset = part.ordinal + part.records, part.destination_offset + part.records
    if placed and offset > witnesses.range.end:
        return FreezeReason.DISAGREEMENT, f"the lane's batches reach {offset}, the log ends at {witnesses.range.end}"
    return None


def _tail_lost(checkpoint: Checkpoint, ahead: int, witnesses: Witnesses) -> _Finding | None:
    """Batches that are gone leave no header: only the last sequence can say that there were none."""
    passed = witnesses.range.start > checkpoint.destination_offset
    last = _last_sequence(checkpoint.ordinal)
    if not passed or ahead or (last is not None and witnesses.last_sequence == last):
        return None
    return FreezeReason.TAIL_LOST, (
        f"the destination log begins at {witnesses.range.start}, the checkpoint stands at "
        f"{checkpoint.destination_offset}, and the last sequence is {witnesses.last_sequence}, not {last}"
    )


def _disagreement(checkpoint: Checkpoint, ahead: int, witnesses: Witnesses) -> _Finding | None:
    last = _last_sequence(checkpoint.ordinal + ahead)
    if witnesses.last_sequence is None or witnesses.last_sequence == last:
        return None
    return FreezeReason.DISAGREEMENT, (
        f"the cluster remembers sequence {witnesses.last_sequence}, the log shows {ahead} records after the "
        f"checkpoint, the last of sequence {last}"
    )


def _last_sequence(ordinal: int) -> int | None:
    """The sequence before the ordinal; None at the lane's beginning."""
    return sequence_of(ordinal - 1) if ordinal else None
