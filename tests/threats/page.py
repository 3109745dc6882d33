"""The reference page of threats, made from the table: `python -m tests.threats --page`."""

from __future__ import annotations

from itertools import groupby

from tests.planted.copies import ROOT
from tests.threats.table import THREATS, Control, controls

PAGE = ROOT / "docs" / "reference" / "threats.md"
INTRO = """\
# Threats and controls

<!-- Generated: python -m tests.threats --page -->

What somebody may try against a gateway, what stands in the way, and the tests that show it. `make threats` runs the
tests of each control twice: on the product as it is, where they pass, and on a copy from which a small patch
(`tests/threats/without/`) has taken this control, where they must fail, and by their own assertion. A test that passes
either way would show nothing; it makes the run fail. How trust is decided stands in [trust](../design/trust.md).
"""


def page() -> str:
    sections = [INTRO]
    by_threat = groupby(controls(), key=lambda control: control.threat)
    for threat, found in by_threat:
        lines = [f"## {threat}. {_sentence(THREATS[threat])}\n", "| | control | where | test |", "|---|---|---|---|"]
        sections.append("\n".join([*lines, *map(_line, found)]) + "\n")
    return "\n".join(sections)


def _line(control: Control) -> str:
    tests = ", ".join(f"`{test}`" for test in control.tests)
    return f"| {control.id} | {control.control} | `{control.where}` | {tests} |"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
