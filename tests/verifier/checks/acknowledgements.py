"""8. Nothing is acknowledged before it is durable: judged by copies of the files as they were at a moment.

At the time of a copy, every source record below the highest acknowledged position must be in the copied log, and every
break of the table below it in the copied table. A run that only grows is implied by the log and need not be stored.
"""

from __future__ import annotations

from tests.verifier.alignment import EXPECTED, Alignment, align
from tests.verifier.checks.prefix import gap_at
from tests.verifier.findings import Judgement, Tally
from tests.verifier.merging import Merged
from tests.verifier.model import NONE, RUN, Durable, Table
from tests.verifier.preparing import Case

NAME = "acknowledgements"
_NO_END = 1 << 62


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "copies of what was durable")
    acks, copies = case.run.acks, case.run.durable
    if acks is None or not copies:
        tally.absent("there is no journal of acknowledgements, or no copy of what was durable")
        return tally.judgement()
    for ack in acks:
        table = case.run.tables.get(ack.lane)
        if table is not None and ack.position > table.position:
            tally.fail(
                f"{ack.lane}: {ack.position} was acknowledged at {ack.at_s} s, the table ends at {table.position}"
            )
    for durable in copies:
        acked = max(
            (ack.position for ack in acks if ack.lane == durable.lane and ack.at_s <= durable.at_s), default=NONE
        )
        found, table = case.alignments.get(durable.lane), case.run.tables.get(durable.lane)
        if found is None or table is None:
            tally.absent(f"{durable.lane}: there is no table, or no raw reading of both logs")
            continue
        tally.judged += 1
        _judge_log(case, found, table, durable, acked, tally)
        _judge_table(table, durable, acked, tally)
    return tally.judgement()


def _judge_log(case: Case, found: Alignment, table: Table, durable: Durable, acked: int, tally: Tally) -> None:
    then = align(
        found.lane, Merged(found.source), Merged(durable.log), _NO_END, found.producers, journal=case.run.journal
    )
    for record, copy in enumerate(then.copies):
        offset = found.source.offsets[record]
        if offset >= acked:
            return
        # What is missing in the end as well is a loss, not an early acknowledgement.
        if (
            copy == NONE
            and found.expected[record] == EXPECTED
            and found.copies[record] != NONE
            and not gap_at(table, offset)
        ):
            tally.fail(
                f"{durable.lane}: {acked} was acknowledged before {durable.at_s} s, when source offset {offset} "
                "was not durable",
                durable_end=durable.log.end,
                **case.told(found.source, record),
            )
            return


def _judge_table(table: Table, durable: Durable, acked: int, tally: Tally) -> None:
    stored = set(breaks(durable.table))
    for each in breaks(table):
        if each[0] >= acked:
            return
        if each not in stored:
            what = f"the gap ({each[2]})" if each[2] != RUN else "the run"
            tally.fail(
                f"{durable.lane}: {acked} was acknowledged before {durable.at_s} s, when {what} from {each[0]} was not "
                "stored",
                stored_position=durable.table.position,
            )
            return


def breaks(table: Table) -> list[tuple[int, int, str]]:
    """Source offset, destination offset and reason, where something else begins."""
    found: list[tuple[int, int, str]] = []
    last: tuple[str, int] | None = None
    for first, _, destination, reason in table.entries:
        distance = destination - first if reason == RUN else 0
        if last != (reason, distance):
            found.append((first, destination, reason))
        last = (reason, distance)
    return found
