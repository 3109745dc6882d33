"""A short form of `python -m tests.lab.machine.power`, and proof that it sees a log that does not sync."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.lab.machine.power import lose
from tests.lab.machine.trace import Step
from tests.support.kills import new_seed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
MOMENTS = 10


def test_nothing_promised_is_lost_when_the_power_fails(steps: list[Step], scratch: Path) -> None:
    seed = new_seed()
    print(f"SCENARIO_SEED={seed}")
    moments = Random(seed).sample(range(1, len(steps) + 1), MOMENTS)
    losses = lose(steps, seed, moments, 2, scratch)
    print(losses)
    assert not losses.violations, losses.violations[:3]
    for aim in ("whole", "synced", "torn", "gone on"):
        assert losses.met[aim], f"{aim} never happened"


def test_a_log_that_does_not_sync_is_caught(steps: list[Step], scratch: Path) -> None:
    careless = [step for step in steps if step.what != "sync"]
    moments = range(len(careless) // 2, len(careless), len(careless) // 8)
    assert lose(careless, 1, moments, 1, scratch).violations
