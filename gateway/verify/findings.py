"""What the comparison of a lane found: counts, and the first few of each kind as evidence.

Not damage, but told: `foreign` records were written by somebody else; `left_over` ones are copies of what the source
has lost since; `overridden` ones are copies without their timestamp, as the subscription allows; `filtered` were kept
back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

EVIDENCE_LIMIT = 10
KINDS = ("lost", "duplicated", "reordered", "altered", "wrong_translations")


class Evidence(NamedTuple):
    kind: str
    source_offset: int | None
    destination_offset: int | None
    detail: str = ""


@dataclass(slots=True)
class Findings:
    """`records` are the visible source records compared; offsets of `translations` were checked one by one."""

    records: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    altered: int = 0
    wrong_translations: int = 0
    foreign: int = 0
    left_over: int = 0
    overridden: int = 0
    filtered: int = 0
    translations: int = 0
    translations_left_out: int = 0
    evidence: list[Evidence] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not any(getattr(self, kind) for kind in KINDS)

    def note(self, kind: str, source_offset: int | None, destination_offset: int | None, detail: str = "") -> None:
        """Count one of `kind`, and keep the first few."""
        count = getattr(self, kind) + 1
        setattr(self, kind, count)
        if count <= EVIDENCE_LIMIT:
            self.evidence.append(Evidence(kind, source_offset, destination_offset, detail))


def closing_line(records: int, counts: dict[str, int]) -> str:
    """The one line that says it all; scripts look for it, so it never changes."""
    return f"verified: {records} records, " + ", ".join(f"{counts[kind]} {kind.replace('_', ' ')}" for kind in KINDS)
