"""4. Nothing is in the copy that no reader of the source may see: never written, failed, aborted, of another partition.

Records of topics that were granted to nobody are the matter of authorization.
"""

from __future__ import annotations

from tests.verifier.alignment import COPY, PHANTOM, Alignment
from tests.verifier.findings import Judgement, Tally
from tests.verifier.model import FAILED, NONE, Journal
from tests.verifier.preparing import Case

NAME = "no phantom"


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "copies")
    journal = case.run.journal
    if journal is None:
        tally.absent("there is no write journal")
    for found in case.aligned(tally):
        tally.judged += found.last - found.first
        _judge(case, found, tally)
        if journal is not None:
            _compare(case, found, journal, tally)
    return tally.judgement()


def _judge(case: Case, found: Alignment, tally: Tally) -> None:
    for record in found.of_kind(PHANTOM):
        if is_canary(case, found, record):
            continue
        if found.producers is None and case.write_of(found.destination, record) == NONE == found.sources[record]:
            tally.absent(f"{found.lane.name}: without the producers' epochs a foreign write looks like a phantom")
            continue
        told = case.told(found.destination, record)
        sentence = f"{found.lane.name}: destination offset {found.destination.offsets[record]} "
        if (source := found.sources[record]) != NONE:
            told["source"] = case.told(found.source, source)
            kind = told["source"]["kind"]  # type: ignore[index]
            sentence += f"holds source offset {found.source.offsets[source]}, which is {kind}: not this lane's to copy"
        else:
            sentence += "holds what was never in this source partition"
        tally.fail(sentence, **told)


def _compare(case: Case, found: Alignment, journal: Journal, tally: Tally) -> None:
    """The journal knows of failed and aborted writes by itself, whatever the source's log looks like."""
    writes, failing = found.destination.writes, bool(journal.transaction_outcomes) or FAILED in journal.outcomes
    if not failing:
        return
    for record in range(found.first, found.last):
        write = writes[record]
        if write == NONE or found.kinds[record] != COPY:
            continue
        if journal.outcomes[write] == FAILED or journal.is_aborted(write):
            offset = found.destination.offsets[record]
            tally.fail(f"{found.lane.name}: destination offset {offset} holds a write that failed or was aborted",
                       **case.told(found.destination, record))  # fmt: skip


def is_canary(case: Case, found: Alignment, record: int) -> bool:
    """Whether it was written to a topic that is granted to nobody."""
    granted, journal = case.run.described.granted_topics, case.run.journal
    if granted is None or journal is None or (write := case.write_of(found.destination, record)) == NONE:
        return False
    return journal.place(write)[:2] not in granted
