"""Judges a run: prepares it once, then asks every check."""

from __future__ import annotations

from collections.abc import Collection

from tests.verifier.checks import CHECKS
from tests.verifier.findings import Judgement
from tests.verifier.model import Run
from tests.verifier.preparing import prepare


def judge(run: Run, leave_out: Collection[str] = ()) -> list[Judgement]:
    """In the order of the checks' numbers."""
    case = prepare(run)
    return [check(case) for name, check in CHECKS.items() if name not in leave_out]
