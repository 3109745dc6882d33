"""The judge: what a copy must be, from the two logs alone, and what a cell of the matrix is found to be.

It shares no code with the mirror. Logs are read with stock clients; where each record must be and what each offset
must translate to is derived here; the mirror is only asked for its answers. Every record and every offset counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Answers = Sequence[dict[str, Any]]
MOST_FINDINGS = 5


class Seen(NamedTuple):
    """A record as a consumer sees it; `digest` is of key, value, headers and timestamp."""

    offset: int
    digest: int


@dataclass(frozen=True, slots=True)
class Log:
    """What a consumer sees of one partition from `start` to `end` (exclusive), in its order."""

    start: int
    end: int
    records: list[Seen]


@dataclass
class Evidence:
    """One lane after a fault: both logs as stock clients read them, and what the gateway answers."""

    source: Log
    """As read_committed sees it; `start` is where the lane begins."""
    aborted: set[int]
    """Offsets that read_uncommitted sees beside."""
    copies: Sequence[Log]
    """The destination, once for each client that read it, read_uncommitted."""
    forward: Answers = ()
    """For each source offset from start to end."""
    back: Answers = ()
    """For each destination offset."""
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    """The ledger: first offset, offset after the last, reason."""
    trouble: str = ""
    """What the gateway says of a lane that did not arrive."""


def findings(evidence: Evidence, hole: str) -> list[str]:
    """What is wrong, nothing if the lane is exact. `hole` is the reason of offsets that no reader sees."""
    found = [evidence.trouble] if evidence.trouble else []
    for log in evidence.copies:
        found += _records(evidence.source, log)
    found += _forward(evidence)
    found += _back(evidence)
    found += _ledger(evidence, hole)
    return found


def _records(source: Log, copy: Log) -> list[str]:
    """The copy is dense from 0, the same records in the same order."""
    wanted, got = [each.digest for each in source.records], [each.digest for each in copy.records]
    found = []
    if [each.offset for each in copy.records] != list(range(copy.end)):
        found.append(f"the copy is not dense: {len(copy.records)} records in {copy.end} offsets")
    if wanted != got:
        lost, more = len(set(wanted) - set(got)), len(got) - len(set(got))
        differing = (n for n, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b)
        at = next(differing, min(len(wanted), len(got)))
        found.append(
            f"{len(wanted)} records became {len(got)}: {lost} lost, {more} twice; the first difference is record {at}"
        )
    return found


def _forward(evidence: Evidence) -> list[str]:
    source, offsets = evidence.source, [each.offset for each in evidence.source.records]
    if len(evidence.forward) != source.end - source.start:
        return [f"{len(evidence.forward)} of {source.end - source.start} source offsets have an answer"]
    wrong = []
    for offset, answer in zip(range(source.start, source.end), evidence.forward, strict=True):
        place = bisect_left(offsets, offset)
        visible = place < len(offsets) and offsets[place] == offset
        wanted = ("exact" if visible else "gap", offset, place if place < len(offsets) else None)
        if wanted != (answer["answer"], answer["source_offset"], answer["destination_offset"]):
            wrong.append(f"source offset {offset} is answered {answer}, not {wanted}")
    return _first(wrong)


def _back(evidence: Evidence) -> list[str]:
    records = evidence.source.records
    if len(evidence.back) != len(records):
        return [f"{len(evidence.back)} of {len(records)} destination offsets have an answer"]
    return _first(
        [
            f"destination offset {place} is answered {answer}, not source {record.offset}"
            for place, (record, answer) in enumerate(zip(records, evidence.back, strict=True))
            if (answer["answer"], answer["source_offset"]) != ("exact", record.offset)
        ]
    )


def _ledger(evidence: Evidence, hole: str) -> list[str]:
    """Each offset without a copy stands in the ledger once, with its reason."""
    visible = {each.offset for each in evidence.source.records}
    wanted = {
        offset: "aborted" if offset in evidence.aborted else hole
        for offset in range(evidence.source.start, evidence.source.end)
        if offset not in visible
    }
    listed: dict[int, str] = {}
    wrong = []
    for first, end, reason in evidence.gaps:
        for offset in range(first, end):
            if offset in listed:
                wrong.append(f"source offset {offset} stands in the ledger twice")
            listed[offset] = reason
    wrong += [
        f"source offset {offset} is {listed.get(offset)} in the ledger, not {wanted.get(offset)}"
        for offset in sorted(wanted.keys() | listed.keys())
        if wanted.get(offset) != listed.get(offset)
    ]
    return _first(wrong)


def _first(wrong: list[str]) -> list[str]:
    more = len(wrong) - MOST_FINDINGS
    return [*wrong[:MOST_FINDINGS], f"and {more} more"] if more > 0 else wrong
