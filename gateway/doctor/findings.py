"""What the doctor says: one row per thing looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    OK = "ok"
    INFO = "info"
    """Worth knowing, or not to be known."""
    WARN = "warn"
    """It works today; it may not on a bad day."""
    FAIL = "fail"
    """Something that a gateway is for will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`follows` says what comes of it, `remedy` what to do; both are empty where all is well."""

    check: str
    level: Level
    found: str
    follows: str = ""
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, Level.OK, found)


def info(check: str, found: str, follows: str = "", remedy: str = "") -> Finding:
    return Finding(check, Level.INFO, found, follows, remedy)


def warn(check: str, found: str, follows: str, remedy: str) -> Finding:
    return Finding(check, Level.WARN, found, follows, remedy)


def fail(check: str, found: str, follows: str, remedy: str) -> Finding:
    return Finding(check, Level.FAIL, found, follows, remedy)


def shown(finding: Finding) -> dict[str, Any]:
    """As JSON: one row of the admin API and of `--json`."""
    return {"event": "finding", **asdict(finding)}


def verdict(findings: Iterable[Finding]) -> dict[str, Any]:
    """{"event": "verdict", ok, fails, warnings, sentence}: not ok where anything fails."""
    levels = [finding.level for finding in findings]
    fails, warnings = levels.count(Level.FAIL), levels.count(Level.WARN)
    if fails or warnings:
        sentence = f"{_count(fails, 'failure')} and {_count(warnings, 'warning')} in {len(levels)} checks"
    else:
        sentence = f"nothing is wrong: {len(levels)} checks"
    return {"event": "verdict", "ok": not fails, "fails": fails, "warnings": warnings, "sentence": sentence}


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
