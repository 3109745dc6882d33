"""Whether tests failed, and by what: junit's account of a run, read into outcomes.

A. A test that fails by an import, a name or a syntax shows nothing: it is broken, and counts as not shown.
B. Of a node id without a case, one case that failed is enough: not each case meets the control.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as Tree

ASSERTIONS = re.compile(r"AssertionError|assert\b|(Failed: )?DID NOT RAISE")
IN_A_GROUP = re.compile(r"^[ |]*\| (AssertionError.*|Failed: DID NOT RAISE.*)$", re.MULTILINE)
"""How a traceback shows the error of one task of several."""


class Verdict(StrEnum):
    PASSED = "green"
    FAILED = "red"
    BROKEN = "broken"
    """It failed, but not by what it says."""
    ABSENT = "absent"


class Case(NamedTuple):
    """One test as it ran. `node` is `file::function` or `file::Class::function`, `case` what stands in brackets."""

    node: str
    case: str
    kind: str
    """`passed`, `failure`, `error` or `skipped`."""
    message: str


def read_cases(path: Path) -> list[Case]:
    """Of a junit file; none where the run ended before it wrote one."""
    if not path.exists():
        return []
    return [_case(element) for element in Tree.parse(path).getroot().iter("testcase")]


def _case(element: Tree.Element) -> Case:
    name, bracket, rest = (element.get("name") or "").partition("[")
    node = f"{_file(element.get('classname') or '')}::{name}"
    for kind in ("failure", "error", "skipped"):
        if (found := element.find(kind)) is not None:
            return Case(node, bracket + rest, kind, _message(found))
    return Case(node, bracket + rest, "passed", "")


def _message(found: Tree.Element) -> str:
    message = found.get("message") or ""
    inner = IN_A_GROUP.search(found.text or "") if message.startswith("ExceptionGroup") else None
    return inner[1] if inner else message


def _file(classname: str) -> str:
    return classname.replace(".", "/") + ".py"


def verdict(test: str, cases: Iterable[Case], fails: str = "") -> tuple[Verdict, str]:
    """Of one node id, with what its first telling failure says."""
    node, bracket, rest = test.partition("[")
    found = [case for case in cases if case.node == node and (not rest or case.case == bracket + rest)]
    if not found:
        return Verdict.ABSENT, "it did not run"
    shown = [case for case in found if case.kind == "failure" and _tells(case.message, fails)]
    if shown:
        return Verdict.FAILED, first_line(shown[0].message)
    odd = [case for case in found if case.kind != "passed"]
    if odd:
        return Verdict.BROKEN, f"{odd[0].kind}: {first_line(odd[0].message)}"
    return Verdict.PASSED, ""


def _tells(message: str, fails: str) -> bool:
    if fails:
        return fails in message
    return ASSERTIONS.match(message) is not None


def first_line(message: str) -> str:
    return message.strip().partition("\n")[0][:160]
