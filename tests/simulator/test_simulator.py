"""The simulator finds nothing wrong, repeats itself exactly, and its schedules can be judged by the verifier."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from mesh.lanes import export
from tests.simulator.campaign import Campaign, kind_of, shrink, told
from tests.simulator.loop import Process, SimulatedLoop
from tests.simulator.plan import Plan, draw
from tests.simulator.recording import NOT_JUDGED, can_be_recorded
from tests.simulator.world import simulate
from tests.verifier.findings import Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run

pytestmark = pytest.mark.slow

SCHEDULES = 300


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


def test_a_short_campaign_violates_nothing_and_meets_what_it_should() -> None:
    campaign = Campaign()
    failed = [outcome for outcome in campaign.run(1, SCHEDULES) if outcome.violations]
    assert not failed, told(draw(failed[0].seed), failed[0])
    for what in ("killed between append and checkpoint", "records replayed", "appends that came in late", "half-cut"):
        assert campaign.seen[what] > 0, f"{what}: never"


def test_the_same_seed_gives_the_same_run_whatever_ran_before() -> None:
    first = simulate(draw(17))
    simulate(draw(18))
    second = simulate(draw(17))
    assert (first.trace, first.steps, first.story) == (second.trace, second.steps, second.story)
    assert simulate(draw(18)).trace != first.trace


def test_the_same_seed_gives_the_same_run_in_another_process() -> None:
    """Whose strings hash otherwise and whose objects lie elsewhere."""
    program = "from tests.simulator.plan import draw; from tests.simulator.world import simulate\n"
    program += "print(*(simulate(draw(seed)).trace for seed in range(20, 40)))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True)
    traces = [int(line) for line in done.stdout.splitlines()[-1].split()]
    assert traces == [simulate(draw(seed)).trace for seed in range(20, 40)]


def test_a_failing_schedule_is_made_smaller_and_still_fails_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export._Aborted, "hides", lambda self, header: False)
    plan = next(plan for plan in map(draw, range(1, 300)) if len(plan.faults) > 2 and simulate(plan).violations)
    smaller, outcome = shrink(plan)
    assert kind_of(outcome) == kind_of(simulate(plan))
    assert (len(smaller.faults), len(smaller.acts)) < (len(plan.faults), len(plan.acts))
    assert simulate(smaller).trace == outcome.trace
    assert "healed" in told(smaller, outcome)


def test_the_verifier_finds_nothing_in_schedules_that_were_written_down(tmp_path: Path) -> None:
    plans = [plan for plan in map(draw, range(1, 120)) if can_be_recorded(plan)]
    assert len(plans) > 20
    for plan in plans:
        directory = tmp_path / str(plan.seed)
        outcome = simulate(plan, directory)
        assert outcome.trace == simulate(plan).trace
        failed = [each for each in judge(read_run(directory), NOT_JUDGED) if each.verdict is Verdict.FAIL]
        assert not failed, (plan.seed, failed)


def test_a_schedule_without_faults_copies_everything() -> None:
    outcome = simulate(replace(draw(3), faults=()))
    assert not outcome.violations


def test_what_can_run_runs_in_any_order_and_time_passes_only_when_nothing_can() -> None:
    def order(seed: int) -> tuple[list[int], float]:
        loop, found = SimulatedLoop(seed), []

        async def one(number: int) -> None:
            await asyncio.sleep(0)
            found.append(number)

        async def all_of_them() -> None:
            await asyncio.gather(*(one(number) for number in range(5)), asyncio.sleep(3600))

        began_s = loop.time()
        loop.run_until_complete(all_of_them())
        elapsed_s = loop.time() - began_s
        loop.close()
        return found, elapsed_s

    orders = [order(seed)[0] for seed in range(20)]
    assert len({tuple(each) for each in orders}) > 10
    assert all(sorted(each) == [0, 1, 2, 3, 4] for each in orders)
    assert order(7) == order(7)
    assert order(7)[1] == 3600


def test_a_killed_process_has_no_last_word_and_a_paused_one_goes_on() -> None:
    loop, said = SimulatedLoop(1), []

    async def work(process: str) -> None:
        try:
            while True:
                await asyncio.sleep(1)
                said.append(f"{process} works")
        finally:
            said.append(f"{process} ends")

    async def scenario() -> None:
        killed, paused = Process("killed", loop), Process("paused", loop)
        killed.start(work("killed"))
        paused.start(work("paused"))
        await asyncio.sleep(0.5)
        killed.kill()
        paused.pause()
        await asyncio.sleep(10)
        assert said == []
        paused.resume()
        await asyncio.sleep(1.5)
        assert set(said) == {"paused works"}

    loop.run_until_complete(scenario())
    loop.reap()
    loop.close()


def test_a_plan_says_all_of_itself() -> None:
    plan = draw(99)
    assert eval(repr(plan), {"Plan": Plan, **_plan_names()}) == plan


def _plan_names() -> dict[str, object]:
    from tests.simulator.plan import Act, Fault

    return {"Act": Act, "Fault": Fault}
