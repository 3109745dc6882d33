"""Judging a broker's answers to appends, and its clock."""

from __future__ import annotations

import pytest

from gateway.doctor.findings import Level
from gateway.doctor.probe import _lands, _outside, _refuses
from gateway.kafka.codes import Code
from gateway.kafka.produce_message import Appended


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (Appended(0, 3, ""), Level.OK),
        (Appended(0, 4, ""), Level.FAIL),
        (Appended(Code.OUT_OF_ORDER_SEQUENCE, -1, ""), Level.FAIL),
    ],
)
def test_a_batch_lands_at_its_place_or_the_rule_fails(answer: Appended, level: Level) -> None:
    finding = _lands("append: x", answer, 3)
    assert finding.level is level
    assert bool(finding.follows) is (level is Level.FAIL)


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (Appended(Code.OUT_OF_ORDER_SEQUENCE, -1, ""), Level.OK),
        (Appended(0, 7, ""), Level.FAIL),
        (Appended(Code.UNKNOWN_SERVER_ERROR, -1, ""), Level.FAIL),
    ],
)
def test_what_is_out_of_line_is_refused_with_45_or_the_rule_fails(answer: Appended, level: Level) -> None:
    finding = _refuses("append: x", answer, Code.OUT_OF_ORDER_SEQUENCE)
    assert finding.level is level
    if level is Level.FAIL:
        assert "twice" in finding.follows


def test_a_slow_answer_says_nothing_about_a_clock() -> None:
    assert _outside(5_000, 1_000, 9_000) == 0
    assert _outside(12_000, 1_000, 9_000) == 3_000
    assert _outside(400, 1_000, 9_000) == pytest.approx(-600, abs=1)
