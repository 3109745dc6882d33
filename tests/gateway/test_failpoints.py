"""A failpoint strikes at its place, at the pass that was asked for, and says so first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import failpoints
from gateway.failpoints import FailpointsUnreadable, Place, arm, reach

PASSES = """
import os, sys
from gateway.failpoints import Place, arm, reach
arm(os.environ)
for _ in range(5):
    reach(Place.FETCH)
    reach(Place.APPENDED)
    print("passed", flush=True)
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm({})


def struck(plan: str, log: Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {failpoints.PLAN: plan, failpoints.LOG: str(log)}
    return subprocess.run(
        [sys.executable, "-c", PASSES], env=environ, capture_output=True, text=True, timeout=50, check=False
    )


def test_a_process_dies_at_the_pass_that_was_asked_for(tmp_path: Path) -> None:
    ended = struck("importer.appended=kill@3", tmp_path / "struck")
    assert (ended.returncode, ended.stdout.count("passed")) == (-signal.SIGKILL, 2)
    (line,) = (tmp_path / "struck").read_text().splitlines()
    assert json.loads(line)["place"] == "importer.appended"


def test_other_places_and_later_passes_do_not_strike(tmp_path: Path) -> None:
    ended = struck("importer.appended=kill@6, exporter.send=kill", tmp_path / "struck")
    assert (ended.returncode, ended.stdout.count("passed")) == (0, 5)
    assert not (tmp_path / "struck").exists()


def test_nothing_is_armed_without_the_variable() -> None:
    arm({})
    for place in Place:
        reach(place)


@pytest.mark.parametrize("plan", ["nowhere=kill", "exporter.fetch=explode", "exporter.fetch", "exporter.fetch=kill@0"])
def test_what_names_no_place_deed_or_pass_is_refused(plan: str) -> None:
    with pytest.raises(FailpointsUnreadable) as raised:
        arm({failpoints.PLAN: plan})
    assert plan in str(raised.value)
