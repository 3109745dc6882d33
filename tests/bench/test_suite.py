"""The plan of the benchmark, and what a run of it states."""

from __future__ import annotations

import pytest

from bench import __main__ as whole
from bench.border import counted
from bench.mirrors import MESH, TUNED
from bench.report import Measured
from bench.rows import MAIN, ROWS, chosen
from bench.suite import told, turned
from bench.targets import LIMITS
from bench.watch import Mark, Watched


def test_every_row_with_a_target_is_judged_and_repeated() -> None:
    assert {row.name for row in ROWS if row.is_judged} == {*LIMITS}
    assert [row.repeats(3) for row in ROWS if row.is_judged] == [3] * len(LIMITS)


def test_a_row_is_chosen_by_name() -> None:
    assert chosen(["1kb-256kb-lz4"]) == [MAIN]
    assert chosen([]) == [*ROWS]
    with pytest.raises(ValueError, match="no such row: nonesuch"):
        chosen(["nonesuch"])


def test_another_side_goes_first_in_each_round() -> None:
    assert [turned((MESH, TUNED), number)[0] for number in range(3)] == [MESH, TUNED, MESH]


def test_the_quick_plan_takes_less_than_five_minutes() -> None:
    assert sum(part.minutes for part in whole.quick_parts()) < 5


def test_a_run_states_its_second_half_and_what_crossed_the_border() -> None:
    marks = [Mark(float(at), at * 1000, {"gateway": float(at)}) for at in (1, 2, 4)]
    measured = Measured(MESH, ["gateway"], Mark(0.0, 0, {}), Watched(*marks), {"gateway": 1}, {}, 8_000_000)

    figures = told(measured, record_bytes=1000)

    assert figures["second_half"]["mb_per_s"] == 1.0
    assert figures["border_bytes_per_byte"] == 2.0


def test_a_copy_that_was_over_at_once_is_no_figure() -> None:
    marks = [Mark(float(at), 1000, {"gateway": 0.0}) for at in (1, 2, 3)]
    measured = Measured(MESH, ["gateway"], Mark(0.0, 0, {}), Watched(*marks), {"gateway": 1}, {})
    with pytest.raises(RuntimeError, match="before it could be measured"):
        told(measured, record_bytes=1000)


def test_both_ways_of_each_connection_are_counted() -> None:
    said = "0 0 127.0.0.1:1 127.0.0.1:2\n\t cubic bytes_sent:9 bytes_acked:7 bytes_received:5 segs_out:1\n"
    assert counted(said + said) == 24
