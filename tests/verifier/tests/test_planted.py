"""The checker is checked: correct runs pass, and each planted bug is caught by the check that is meant to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verifier.checks import CHECKS
from tests.verifier.findings import Judgement, Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run
from tests.verifier.tests.bugs import BUGS, PLANTED
from tests.verifier.tests.planting import Damage
from tests.verifier.tests.world import World
from tests.verifier.tests.writing import write_world

SEEDS = (1,)
ONE_EACH = [(check, damage) for check, all_of_it in PLANTED.items() for damage in all_of_it]


def judged(world: World, directory: Path) -> dict[str, Judgement]:
    return {each.check: each for each in judge(read_run(write_world(world, directory)))}


def failing(judgements: dict[str, Judgement]) -> set[str]:
    return {name for name, each in judgements.items() if each.verdict is Verdict.FAIL}


@pytest.mark.parametrize("seed", range(5))
def test_a_correct_run_is_judged_to_be_one(seed: int, tmp_path: Path) -> None:
    judgements = judged(World.build(seed), tmp_path)
    assert list(judgements) == list(CHECKS)
    verdicts = {name: each.verdict for name, each in judgements.items()}
    # One foreign write was reported, as it should be.
    assert verdicts == dict.fromkeys(CHECKS, Verdict.OK) | {"accounting": Verdict.INFO}, judgements


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("check", "damage"), ONE_EACH, ids=lambda each: getattr(each, "__name__", each))
def test_damage_is_caught_by_its_check_alone(check: str, damage: Damage, seed: int, tmp_path: Path) -> None:
    world = World.build(seed)
    damage(world)
    judgements = judged(world, tmp_path)
    assert failing(judgements) == {check}, [each.findings for each in judgements.values()]
    assert Verdict.NOT_JUDGED not in {each.verdict for each in judgements.values()}


@pytest.mark.parametrize(("bug", "check", "damage"), BUGS, ids=[bug for bug, _, _ in BUGS])
def test_each_of_the_twenty_bugs_is_caught_by_the_named_check(
    bug: str, check: str, damage: Damage, tmp_path: Path
) -> None:
    world = World.build(3)
    damage(world)
    assert check in failing(judged(world, tmp_path))


def test_there_are_twenty_bugs_and_every_check_has_damage_of_its_own() -> None:
    assert len({bug for bug, _, _ in BUGS}) == 20
    assert set(PLANTED) == set(CHECKS)
    assert all(len(each) > 2 for each in PLANTED.values())


def test_the_bugs_are_listed_in_the_reference_by_the_check_that_catches_them() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "run-directory.md").read_text()
    missing = [bug for bug, check, _ in BUGS if f"| {bug} | {check} |" not in page]
    missing += [name for number, name in enumerate(CHECKS, 1) if f"| {number} | `{name}` |" not in page]
    assert not missing
