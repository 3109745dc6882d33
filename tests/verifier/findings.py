"""What a check says: a verdict, how much it judged, and the first findings with their evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

MOST_FINDINGS = 5


class Verdict(StrEnum):
    OK = "ok"
    FAIL = "fail"
    INFO = "info"
    """May be as it should: somebody has to know that it was so."""
    NOT_JUDGED = "not judged"
    """An input is absent: nothing can be said."""


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    sentence: str
    evidence: dict[str, object]


@dataclass(frozen=True, slots=True)
class Judgement:
    check: str
    verdict: Verdict
    judged: int
    """How many things were looked at."""
    unit: str
    findings: tuple[Finding, ...]
    """Of each verdict the first ones."""
    counts: dict[str, int]


@dataclass
class Tally:
    """Collects one check's findings."""

    check: str
    unit: str
    judged: int = 0
    _findings: list[Finding] = field(default_factory=list)
    _counts: dict[Verdict, int] = field(default_factory=dict)

    def fail(self, sentence: str, **evidence: object) -> None:
        self._note(Verdict.FAIL, sentence, evidence)

    def info(self, sentence: str, **evidence: object) -> None:
        self._note(Verdict.INFO, sentence, evidence)

    def absent(self, sentence: str) -> None:
        self._note(Verdict.NOT_JUDGED, sentence, {})

    @property
    def is_full(self) -> bool:
        """Whether another failure's evidence would not be shown."""
        return self._counts.get(Verdict.FAIL, 0) >= MOST_FINDINGS

    def _note(self, verdict: Verdict, sentence: str, evidence: dict[str, object]) -> None:
        count = self._counts[verdict] = self._counts.get(verdict, 0) + 1
        if count <= MOST_FINDINGS:
            self._findings.append(Finding(verdict, sentence, evidence))

    def judgement(self) -> Judgement:
        order = (Verdict.FAIL, Verdict.NOT_JUDGED, Verdict.INFO)
        verdict = next((each for each in order if self._counts.get(each)), Verdict.OK)
        if verdict is Verdict.OK and not self.judged:
            self.absent("there was nothing to judge")
            verdict = Verdict.NOT_JUDGED
        findings = sorted(self._findings, key=lambda each: order.index(each.verdict))
        counts = {str(each): count for each, count in self._counts.items()}
        return Judgement(self.check, verdict, self.judged, self.unit, tuple(findings), counts)
