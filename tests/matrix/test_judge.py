"""The judge finds what is planted, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.matrix.judge import Evidence, Log, Seen, findings
from tests.matrix.table import Matrix, table

SOURCE = Log(2, 10, [Seen(offset, offset * 100) for offset in (2, 3, 5, 8)])
"""4 is aborted, 6, 7 and 9 are seen by nobody."""
COPY = Log(0, 4, [Seen(place, each.digest) for place, each in enumerate(SOURCE.records)])


def answer(kind: str, source: int, destination: int | None) -> dict[str, object]:
    return {"answer": kind, "source_offset": source, "destination_offset": destination}


def evidence() -> Evidence:
    forward = [(2, 0), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (8, 3), (9, None)]
    visible = {each.offset for each in SOURCE.records}
    return Evidence(
        SOURCE,
        {4},
        (COPY, COPY),
        [answer("exact" if source in visible else "gap", source, place) for source, place in forward],
        [answer("exact", each.offset, place) for place, each in enumerate(SOURCE.records)],
        [(4, 5, "aborted"), (6, 8, "marker"), (9, 10, "marker")],
    )


def test_an_exact_copy_has_no_findings() -> None:
    assert findings(evidence(), "marker") == []


def lose(one: Evidence) -> None:
    one.copies = (COPY, Log(0, 3, COPY.records[:3]))


def repeat(one: Evidence) -> None:
    one.copies = (Log(0, 5, [*COPY.records, Seen(4, COPY.records[-1].digest)]), COPY)


def swap(one: Evidence) -> None:
    a, b, *rest = COPY.records
    one.copies = (Log(0, 4, [Seen(0, b.digest), Seen(1, a.digest), *rest]), COPY)


def leave_a_hole(one: Evidence) -> None:
    one.copies = (COPY, Log(0, 5, [*COPY.records[:3], Seen(4, COPY.records[3].digest)]))


def answer_one_too_many(one: Evidence) -> None:
    one.forward = [*one.forward[:3], answer("exact", 5, 3), *one.forward[4:]]


def call_a_gap_exact(one: Evidence) -> None:
    one.forward = [*one.forward[:2], answer("exact", 4, 2), *one.forward[3:]]


def answer_less(one: Evidence) -> None:
    one.forward = one.forward[:-1]


def answer_back_wrongly(one: Evidence) -> None:
    one.back = [answer("exact", 3, 0), *one.back[1:]]


def forget_a_gap(one: Evidence) -> None:
    one.gaps = one.gaps[1:]


def name_another_reason(one: Evidence) -> None:
    one.gaps = [(4, 5, "marker"), *one.gaps[1:]]


def list_a_gap_twice(one: Evidence) -> None:
    one.gaps = [*one.gaps, (6, 7, "marker")]


def not_arrive(one: Evidence) -> None:
    one.trouble = "stopped at 5"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lose, "4 records became 3: 1 lost, 0 twice; the first difference is record 3"),
        (repeat, "4 records became 5: 0 lost, 1 twice"),
        (swap, "the first difference is record 0"),
        (leave_a_hole, "the copy is not dense"),
        (answer_one_too_many, "source offset 5 is answered"),
        (call_a_gap_exact, "source offset 4 is answered"),
        (answer_less, "7 of 8 source offsets have an answer"),
        (answer_back_wrongly, "destination offset 0 is answered"),
        (forget_a_gap, "source offset 4 is None in the ledger, not aborted"),
        (name_another_reason, "source offset 4 is marker in the ledger, not aborted"),
        (list_a_gap_twice, "stands in the ledger twice"),
        (not_arrive, "stopped at 5"),
    ],
)
def test_damage_is_found_and_named(damage: Callable[[Evidence], None], sentence: str) -> None:
    one = replace(evidence())
    damage(one)
    assert any(sentence in finding for finding in findings(one, "marker")), findings(one, "marker")


def test_a_cell_that_was_not_judged_is_not_called_right() -> None:
    matrix = Matrix(["plain"], ["none", "cut", "kill"], {("plain", "cut"): "FAIL"}, {("plain", "kill")})
    assert [*table(matrix)][1].split() == ["plain", "-", "FAIL", "n/a"]
