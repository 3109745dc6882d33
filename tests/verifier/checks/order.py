"""3. Copies lie in the order of their source records."""

from __future__ import annotations

from tests.verifier.alignment import LATE
from tests.verifier.findings import Judgement, Tally
from tests.verifier.preparing import Case

NAME = "no reorder"


def check(case: Case) -> Judgement:
    tally = Tally(NAME, "copies")
    for found in case.aligned(tally):
        tally.judged += found.last - found.first
        for record in found.of_kind(LATE):
            tally.fail(
                f"{found.lane.name}: destination offset {found.destination.offsets[record]} holds source offset "
                f"{found.source.offsets[found.sources[record]]}, which belongs before the copies in front of it",
                **case.told(found.destination, record),
            )
    return tally.judgement()
