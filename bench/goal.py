"""Targets as a benchmark reports them: a value that may be at most its limit, or must be at least that.

In a result file they stand under "targets": name, value, limit, unit and whether it is met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`value` may be at most `limit`; with `at_least`, not less."""

    name: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def told(self) -> dict[str, object]:
        stated = {"name": self.name, "value": round(self.value, 3), "limit": self.limit}
        return {**stated, "met": self.met, "unit": self.unit} | ({"at_least": True} if self.at_least else {})

    @property
    def line(self) -> str:
        verdict = "met" if self.met else "MISSED"
        bound = "at least" if self.at_least else "at most"
        return f"{verdict:7} {self.name}: {self.value:.3g} {self.unit}, {bound} {self.limit:g}"


def verdict(what: str, targets: Sequence[Target]) -> str:
    """A line for each target and the closing line."""
    lines = [each.line for each in targets]
    return "\n".join([*lines, "", f"{what}: {sum(each.met for each in targets)} of {len(targets)} targets met"])


def grid(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head; the first column stands left, the others right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
