"""Running the tests of a control: in a copy without it, and in a copy as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.planted.copies import PatchRefused, patched, run
from tests.threats.judging import Case, Verdict, first_line, read_cases, verdict
from tests.threats.table import Control

LIMIT_S = 600
"""For the tests of one control."""
REPORT = "threats-report.xml"


class Row(NamedTuple):
    control: Control
    with_it: Verdict
    without_it: Verdict
    why: str
    """What the first failure without it says, or what is wrong."""

    @property
    def holds(self) -> bool:
        return (self.with_it, self.without_it) == (Verdict.PASSED, Verdict.FAILED)


def run_tests(directory: Path, tests: Sequence[str]) -> tuple[list[Case], str]:
    """What came of the tests in a copy, and the end of what pytest said."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={REPORT}", *tests]
    try:
        said = run(directory, command, LIMIT_S).stdout
    except subprocess.TimeoutExpired:
        return [], f"not done in {LIMIT_S} s"
    return read_cases(directory / REPORT), said[-600:]


def without(control: Control) -> tuple[Verdict, str]:
    """Its tests in a copy that lacks it: red only if each of them is."""
    try:
        with patched(control.patch) as directory:
            cases, said = run_tests(directory, control.tests)
    except PatchRefused as error:
        return Verdict.BROKEN, str(error)
    judged = [verdict(test, cases, control.fails) for test in control.tests]
    for test, (found, why) in zip(control.tests, judged, strict=True):
        if found is not Verdict.FAILED:
            return found, f"{test.rpartition('::')[2]}: {why or 'it passes'} {first_line(said) if not cases else ''}"
    return Verdict.FAILED, judged[0][1]


def with_all(controls: Sequence[Control]) -> dict[str, Verdict]:
    """By node id, in a copy as it is: every test of the table once."""
    tests = sorted({test for control in controls for test in control.tests})
    with patched(None) as directory:
        cases, _ = run_tests(directory, tests)
    return {test: verdict(test, cases)[0] if not _odd(test, cases) else Verdict.BROKEN for test in tests}


def _odd(test: str, cases: Sequence[Case]) -> bool:
    """Whether any case did not pass."""
    node, bracket, rest = test.partition("[")
    found = [case for case in cases if case.node == node and (not rest or case.case == bracket + rest)]
    return any(case.kind != "passed" for case in found)
