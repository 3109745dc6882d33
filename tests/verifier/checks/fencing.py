"""9. After an append of epoch e + 1 there is none of epoch e, and a lane's place is taken by its sequence.

Of each producer of a destination partition the epochs never fall. What the lane wrote, it wrote as a producer and
epoch that it was given, and the sequence of a batch is the ordinal of its first record, modulo 2^31.
"""

from __future__ import annotations

from tests.verifier.alignment import COPY, DUPLICATE, LATE, Alignment
from tests.verifier.batches import CONTROL
from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import Given, Log
from tests.verifier.preparing import Case, batch_told

NAME = "fencing"
_SEQUENCES = 1 << 31


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "batches")
    if case.run.given is None:
        tally.absent("there is no journal of the producers' epochs")
    for found in case.aligned(tally):
        log = case.run.logs[found.lane.destination][-1]
        tally.judged += len(log.base_offsets)
        _judge_epochs(log, tally)
        if case.run.given is not None:
            given = [each for each in case.run.given if each.lane == found.lane.name]
            _judge_producers(found, log, given, tally)
            _judge_sequences(found, log, given, tally)
    return tally.judgement()


def _judge_epochs(log: Log, tally: Tally) -> None:
    newest: dict[int, int] = {}
    for batch, producer in enumerate(log.producer_ids):
        if producer < 0:
            continue
        epoch = log.producer_epochs[batch]
        if epoch < newest.get(producer, epoch):
            tally.fail(
                f"{log.place}: the batch at {log.base_offsets[batch]} is of epoch {epoch} of producer {producer}, "
                f"after one of epoch {newest[producer]}",
                **batch_told(log, batch),
            )
        newest[producer] = max(epoch, newest.get(producer, epoch))


def _judge_producers(found: Alignment, log: Log, given: list[Given], tally: Tally) -> None:
    mine = {(each.producer_id, each.epoch) for each in given}
    for batch, kind in _batches(found, log):
        if kind not in (COPY, LATE, DUPLICATE):
            continue
        writer = log.producer_ids[batch], log.producer_epochs[batch]
        if writer not in mine:
            tally.fail(
                f"{found.lane.name}: the batch at {log.base_offsets[batch]} was written as producer {writer[0]} of "
                f"epoch {writer[1]}, which the lane was never given",
                **batch_told(log, batch),
            )


def _judge_sequences(found: Alignment, log: Log, given: list[Given], tally: Tally) -> None:
    producers = {each.producer_id for each in given}
    if log.first > found.lane.destination_start:
        tally.info(f"{found.lane.name}: ordinals cannot be counted, the destination was read from {log.first} on only")
        return
    ordinal = found.lane.first_ordinal
    for batch, _ in _batches(found, log):
        if log.producer_ids[batch] not in producers or log.attributes[batch] & CONTROL:
            continue
        if log.sequences[batch] != ordinal % _SEQUENCES:
            tally.fail(
                f"{found.lane.name}: the batch at {log.base_offsets[batch]} has the sequence {log.sequences[batch]}, "
                f"its first record is ordinal {ordinal}",
                **batch_told(log, batch),
            )
            return  # all that follow would be told too
        end = log.first_records[batch + 1] if batch + 1 < len(log.first_records) else len(log)
        ordinal += end - log.first_records[batch]


def _batches(found: Alignment, log: Log) -> list[tuple[int, int]]:
    """The batches from the lane's start on, each with what its first record was found to be (-1: it has none).

    `log` is the last reading; the alignment's records may be more, so they are found by their offsets.
    """
    kinds = dict(
        zip(found.destination.offsets[found.first : found.last], found.kinds[found.first : found.last], strict=True)
    )
    last = found.destination.offsets[found.last - 1] if found.last else found.lane.destination_start
    inside = []
    for batch, base in enumerate(log.base_offsets):
        if found.lane.destination_start <= base <= last:
            first = log.first_records[batch]
            inside.append((batch, kinds.get(log.offsets[first], -1) if first < len(log) else -1))
    return inside
