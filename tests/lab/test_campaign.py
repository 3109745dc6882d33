"""What a campaign plans, what it counts, and what it tells."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.failpoints import Place
from tests.lab.campaign import ALL_PLACES_FROM, KINDS, Deck, Result, plan, told
from tests.lab.faults import BY_NAME, FAULTS, possible
from tests.lab.faults.processes import REQUIRED
from tests.lab.run import Outcome, RunPlan
from tests.lab.stage import Counters, Recovery
from tests.lab.table import BEGIN, END, placed, tables
from tests.lab.whole import Part, closing, totals


def test_a_campaign_is_the_same_for_the_same_seed_and_has_kills_enough() -> None:
    plans = plan(7, 1000)
    assert plans == plan(7, 1000)
    assert plans != plan(8, 1000)
    assert sum(each.kills for each in plans) >= 1000
    assert len({each.seed for each in plans}) == len(plans)
    assert {each.kind for each in plans} == set(KINDS)


def test_a_large_campaign_has_every_fault_that_can_strike_here() -> None:
    struck = {(each.kind, name) for each in plan(7, 1000) for name in each.strikes}
    assert struck == {(kind, each.name) for kind in KINDS for each in possible(kind)}


def test_a_longer_campaign_begins_with_the_shorter_one() -> None:
    assert plan(3, 400)[: len(plan(3, 200))] == plan(3, 200)


def test_the_short_campaign_has_each_short_fault_once() -> None:
    for each in plan(5, 0, short=True):
        assert sorted(each.strikes) == sorted(e.name for e in possible(each.kind) if e.is_short and not e.wired)


def test_faults_come_as_often_as_their_weights_say() -> None:
    deck = Deck(Random(1), [BY_NAME["kill copy"], BY_NAME["kill both"]])
    dealt = [each.name for _ in range(9) for each in deck.deal(1000, 10)]
    assert (dealt.count("kill copy"), dealt.count("kill both")) == (60, 30)


def test_faults_have_names_of_their_own_and_say_what_they_are() -> None:
    assert len(BY_NAME) == len(FAULTS)


def outcome(**changed: Any) -> Outcome:
    made = Outcome(RunPlan(1, "embedded", ("kill copy",)), Path("kept/run"), kills=2, records=10)
    made.checks = {"prefix": "ok", "accounting": "info"}
    made.aims = {"seen": "a row", "unseen": "a row"}
    made.rows["a row"] = 3
    made.met = {"seen": 4}
    made.recoveries = [Recovery("globex's gateway", 2.0 + at, float(at)) for at in range(1, 5)]
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def result(*outcomes: Outcome) -> Result:
    made = Result(1, versions={"python": "3"})
    for each in outcomes:
        made.add(told(each))
    return made


def test_what_was_aimed_at_and_never_met_is_told() -> None:
    assert result(outcome()).never() == ["unseen"]
    assert result(outcome(), outcome(met={"unseen": 1})).never() == []


def test_a_large_campaign_must_have_killed_at_every_place() -> None:
    found = result(outcome(kills=ALL_PLACES_FROM, met={"seen": 1, "unseen": 1}))
    assert found.never() == sorted(REQUIRED)


def test_somebody_is_killed_at_every_place_that_there_is() -> None:
    assert {place for place in Place if any(f" {place} " in aim for aim in REQUIRED)} == set(Place)


def test_a_run_that_failed_a_check_or_broke_off_is_a_violation() -> None:
    assert outcome().violations == 0
    assert outcome(checks={"prefix": "fail", "liveness": "not judged"}).violations == 2
    assert outcome(trouble=["AssertionError: a lane stopped\nTraceback"]).violations == 1
    assert "prefix fail" in outcome(checks={"prefix": "fail"}).line()
    assert "a lane stopped;" in outcome(trouble=["a lane stopped\nTraceback"]).line()


def test_recovery_is_told_by_quantiles_over_all_runs() -> None:
    found = result(outcome(), outcome(recoveries=[]))
    assert (found.recovery_s("from_ready_s", 0.5), found.recovery_s("from_kill_s", 0.99)) == (3.0, 6.0)
    assert result(outcome(recoveries=[])).recovery_s("from_kill_s", 0.5) is None


def test_counters_know_what_was_met() -> None:
    counters = Counters()
    counters.sometimes("a")
    counters.sometimes("a", 2)
    assert (counters.of("a"), counters.all(), counters.never(["a", "b"])) == (3, {"a": 3}, ["b"])


SIMULATED = Part(
    0, "      12  killed\n300 schedules, 9 steps, 80 schedules a second, 0 with violations, 0 never\n", 4.0
)
PLANTED = Part(0, "planted bugs caught: 20/20\n", 9.0)


def test_the_last_line_says_all_of_it() -> None:
    found = totals(result(outcome()).as_json(), Part(0, "", 1.0), SIMULATED, PLANTED)
    assert closing(found) == "faults: 2 kills, 300 schedules, 0 violations; planted bugs caught: 20/20"
    assert found["ok"]


@pytest.mark.parametrize(
    ("lab", "simulated", "planted"),
    [
        (Part(1, "", 1.0), SIMULATED, PLANTED),
        (Part(0, "", 1.0), Part(1, SIMULATED.said.replace(" 0 with", " 2 with"), 1.0), PLANTED),
        (Part(0, "", 1.0), Part(0, "", 1.0), PLANTED),
        (Part(0, "", 1.0), SIMULATED, Part(0, "planted bugs caught: 19/20", 1.0)),
        (Part(0, "", 1.0), SIMULATED, Part(1, "No module", 1.0)),
    ],
)
def test_whatever_is_missing_is_no_success(lab: Part, simulated: Part, planted: Part) -> None:
    assert not totals(result(outcome()).as_json(), lab, simulated, planted)["ok"]


def test_the_tables_stand_between_their_markers() -> None:
    found = totals(result(outcome()).as_json(), Part(0, "", 1.0), SIMULATED, PLANTED)
    whole = found | {"seconds": 600.0, "laboratory": result(outcome()).as_json(), "simulator": {"sum": "300 schedules"}}
    text = "\n".join(tables(whole))
    assert "| a row | 3 | 2 | 1 |" in text
    assert "p50 3.00 s, p99 4.00 s" in text
    page = placed(f"before\n{BEGIN}\nold\n{END}\nafter\n", text)
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert text in page
    assert "old" not in page
    assert placed(page, text) == page
    with pytest.raises(ValueError, match="the page has no"):
        placed("no markers", text)
