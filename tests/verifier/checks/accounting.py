"""11. The destination's log is accounted for to its last offset: copies, markers, foreign writes that were reported.

Every offset from the lane's start to the log's end lies in a batch, the batches are dense, and whatever the lane did
not write is told in its table; so is nothing that it did write.
"""

from __future__ import annotations

from bisect import bisect_left

from tests.verifier.alignment import FOREIGN, ORPHAN, Alignment
from tests.verifier.batches import CONTROL
from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import Log, Table
from tests.verifier.preparing import Case, batch_told

NAME = "accounting"


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "destination offsets")
    if case.run.given is None:
        tally.absent("there is no journal of the producers' epochs: foreign writes cannot be told")
    for lane in case.lanes:
        found, table = case.alignments.get(lane.name), case.run.tables.get(lane.name)
        if found is None or table is None:
            tally.absent(f"{lane.name}: there is no table, or no raw reading of both logs")
            continue
        log = case.run.logs[lane.destination][-1]
        last_lane = not any(
            each.destination == lane.destination and each.destination_start > lane.destination_start
            for each in case.lanes
        )
        _judge_offsets(found, log, last_lane, tally)
        if last_lane and table.destination_end > log.end:
            tally.fail(f"{lane.name}: the table's copies end at {table.destination_end}, the log at {log.end}")
        if case.run.given is not None:
            _judge_foreign(case, found, log, table, tally)
            _judge_reported(case, found, table, tally)
    return tally.judgement()


def _judge_offsets(found: Alignment, log: Log, to_the_end: bool, tally: Tally) -> None:
    position = max(log.first, found.lane.destination_start)
    last = found.destination.offsets[found.last - 1] if found.last else position - 1
    for batch, base in enumerate(log.base_offsets):
        if base < found.lane.destination_start or not (to_the_end or base <= last):
            continue
        if base != position and not base < log.first == position:
            tally.fail(f"{log.place}: offsets {position} to {base} lie in no batch", **batch_told(log, batch))
        end = log.first_records[batch + 1] if batch + 1 < len(log.first_records) else len(log)
        records, offsets = end - log.first_records[batch], log.last_offsets[batch] + 1 - base
        if records != offsets and base >= log.first:
            tally.fail(f"{log.place}: the batch at {base} has {records} records in {offsets} offsets",
                       **batch_told(log, batch))  # fmt: skip
        tally.judged += offsets
        position = log.last_offsets[batch] + 1
    if to_the_end and position != log.end and not log.damaged:
        tally.fail(f"{log.place}: the log ends at {log.end}, what is in it at {position}")


def _judge_foreign(case: Case, found: Alignment, log: Log, table: Table, tally: Tally) -> None:
    mine = found.producers or set()
    for batch, base in enumerate(log.base_offsets):
        is_marker = log.attributes[batch] & CONTROL and base >= found.lane.destination_start
        if is_marker and log.producer_ids[batch] not in mine and not _is_told(table, base):
            tally.fail(f"{log.place}: a foreign marker at {base} was not reported", **batch_told(log, batch))
    for record in found.of_kind(FOREIGN):
        offset = found.destination.offsets[record]
        told = {} if tally.is_full else case.told(found.destination, record)
        if _is_told(table, offset):
            tally.info(f"{log.place}: offset {offset} is a foreign write, and was reported", **told)
        else:
            tally.fail(f"{log.place}: offset {offset} is a foreign write that nobody reported", **told)
    for record in found.of_kind(ORPHAN):
        tally.info(f"{log.place}: offset {found.destination.offsets[record]} is of a history that the source lost")


def _judge_reported(case: Case, found: Alignment, table: Table, tally: Tally) -> None:
    for first, end in table.foreign:
        at = bisect_left(found.destination.offsets, first)
        for record in range(max(at, found.first), found.last):
            offset = found.destination.offsets[record]
            if offset >= end:
                break
            if found.kinds[record] not in (FOREIGN, ORPHAN):
                tally.fail(f"{found.lane.name}: offset {offset} was reported as foreign, the lane wrote it",
                           **case.told(found.destination, record))  # fmt: skip


def _is_told(table: Table, offset: int) -> bool:
    return any(first <= offset < end for first, end in table.foreign)
