"""A short form of `python -m tests.lab.machine.flips`, and proof that it sees damage that goes unseen."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from gateway.embedded.mark import MARK_FILE
from tests.lab.machine.flips import Damage, Found, judge, some, stopped_and_killed
from tests.lab.machine.trace import Step
from tests.support.kills import new_seed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
FLIPS = 30


def test_every_flip_is_detected_or_harmless(steps: list[Step], scratch: Path) -> None:
    seed = new_seed()
    print(f"SCENARIO_SEED={seed}")
    found, chance = Found(seed), Random(seed)
    for name, files in stopped_and_killed(steps).items():
        judge(found, name, files, some(files, FLIPS, chance), scratch)
        assert found.met[f"{name}: detected (log-damaged)"], f"{found}: nothing was detected"
        assert found.met[f"{name}: harmless"], found
    print(found)
    assert not found.silent, found.silent[:3]


def test_without_the_mark_a_damaged_write_ahead_log_would_go_unseen(steps: list[Step], scratch: Path) -> None:
    files = stopped_and_killed(steps)["killed"]
    ahead = Damage("log.sqlite-wal", 32 + 24 + 100, 0)  # the first page, so all that follows is gone
    for kept, is_seen in ((files, True), ({**files, MARK_FILE: b""}, False)):
        found = Found(1)
        judge(found, "killed", kept, iter([ahead]), scratch)
        assert bool(found.silent) is not is_seen, found
