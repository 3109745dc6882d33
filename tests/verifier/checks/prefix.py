"""1. What a reader of the copy sees is a prefix of what one of the source sees; when all is quiet, the two are equal.

A record between copied ones that has no copy is lost. Doubles, strangers and disorder are other checks' matter. Records
that the lane's terms allow to be left out must stand in its table as such a gap.
"""

from __future__ import annotations

from bisect import bisect_right

from tests.verifier.alignment import COPY, EXPECTED, Alignment
from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import NONE, RUN, Table
from tests.verifier.preparing import Case

NAME = "prefix"


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "source records")
    for found in case.aligned(tally):
        tally.judged += found.expected.count(EXPECTED)
        _judge(case, found, tally)
    return tally.judgement()


def _judge(case: Case, found: Alignment, tally: Tally) -> None:
    lane, table = found.lane, case.run.tables.get(found.lane.name)
    copied = [found.sources[at] for at in found.of_kind(COPY)]
    first, furthest = (copied[0], max(copied)) if copied else (NONE, NONE)
    for record in found.missing():
        offset = found.source.offsets[record]
        if table is not None and gap_at(table, offset) in lane.allowed_gaps:
            continue
        if found.begins_late and record < first:
            tally.info(f"{lane.name}: copies before {found.destination.start} are gone from the destination")
            return
        if record < furthest:
            tally.fail(
                f"{lane.name}: source offset {offset} has no copy, later ones have", **case.told(found.source, record)
            )
        elif lane.settled:
            tally.fail(f"{lane.name}: source offset {offset} was never copied", **case.told(found.source, record))


def gap_at(table: Table, offset: int) -> str:
    """The reason of the gap that holds the offset; empty where none does."""
    at = bisect_right(table.entries, offset, key=lambda each: each.first) - 1
    if at < 0 or offset >= table.entries[at].end:
        return RUN
    return table.entries[at].reason
