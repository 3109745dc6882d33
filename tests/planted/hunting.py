"""Runs a hunt in a copy of the project, from outside of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.planted.copies import patched, run
from tests.planted.table import SIMULATOR, Bug

HUNT_S = 600.0
SCENE_S = 120.0
MEMORY = Path("/dev/shm")
"""A schedule is written down in many small files."""


@dataclass(frozen=True, slots=True)
class Caught:
    """What came of one bug's hunt; `trouble` where the hunt itself failed."""

    bug: Bug
    seed: int = -1
    check: str = ""
    finding: str = ""
    schedules: int = 0
    took_s: float = 0.0
    others: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def is_caught(self) -> bool:
        return self.seed >= 0 and self.check == (self.bug.check or self.check) and not self.trouble

    @property
    def after(self) -> str:
        if not self.is_caught:
            return f"NOT CAUGHT in {self.schedules} schedules" if self.bug.by == SIMULATOR else "NOT CAUGHT"
        amount = "" if self.bug.by != SIMULATOR else f"{self.schedules} schedule{'s' * (self.schedules != 1)}, "
        return f"{amount}{self.took_s:.1f} s"


def hunted(bug: Bug, first: tuple[int, ...], limit: int) -> Caught:
    """Plant it, and hunt it: the seeds of `first`, then `limit` more from 1 on."""
    with patched(bug.path) as directory:
        if bug.by != SIMULATOR:
            return _asked(bug, directory, ["tests.planted.scenes", bug.by, "--check", bug.check], SCENE_S)
        return _hunt(bug, directory, first, limit)


def spared(bugs: tuple[Bug, ...], seeds: tuple[int, ...]) -> list[Caught]:
    """The same hunts without a bug: each must come back with nothing, by any check."""
    nothing = Bug("", "nothing", "")
    with patched(None) as directory:
        found = [_hunt(nothing, directory, seeds, 0)] if seeds else []
        for scene in sorted({bug.by for bug in bugs} - {SIMULATOR}):
            bug = Bug("", "nothing", "", by=scene)
            found.append(_asked(bug, directory, ["tests.planted.scenes", scene], SCENE_S))
    return found


def _hunt(bug: Bug, directory: Path, first: tuple[int, ...], limit: int) -> Caught:
    # ours to take away: a hunt whose time is up is killed
    with tempfile.TemporaryDirectory(prefix="hunt-", dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        words = ["tests.planted.hunt", "--check", bug.check, "--limit", str(limit), "--scratch", scratch]
        return _asked(bug, directory, [*words, *(["--first", *map(str, first)] if first else [])], HUNT_S)


def _asked(bug: Bug, directory: Path, words: list[str], timeout_s: float) -> Caught:
    try:
        done = run(directory, [sys.executable, "-m", *words], timeout_s)
        told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return Caught(bug, trouble=f"the hunt took more than {timeout_s:g} s")
    except (ValueError, IndexError):
        return Caught(bug, trouble=f"the hunt failed: {done.stdout[-800:]}")
    return Caught(bug, **{**told, "others": tuple(told["others"])})
