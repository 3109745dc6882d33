"""2. No record of the source lies in the copy twice."""

from __future__ import annotations

from tests.verifier.alignment import DUPLICATE
from tests.verifier.findings import Judgement, Tally
from tests.verifier.preparing import Case

NAME = "no duplicate"


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "copies")
    for found in case.aligned(tally):
        tally.judged += found.last - found.first
        for record in found.of_kind(DUPLICATE):
            source = found.sources[record]
            first = found.destination.offsets[found.copies[source]]
            tally.fail(
                f"{found.lane.name}: destination offset {found.destination.offsets[record]} holds source offset "
                f"{found.source.offsets[source]} again, its copy is at {first}",
                **case.told(found.destination, record),
            )
    return tally.judgement()
