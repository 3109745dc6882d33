"""The report of a judgement, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.verifier.checks import CHECKS
from tests.verifier.findings import Finding, Judgement, Verdict


def as_json(about: dict[str, object], judgements: Sequence[Judgement]) -> str:
    checks = [
        {
            "check": each.check,
            "verdict": str(each.verdict),
            "judged": each.judged,
            "unit": each.unit,
            "counts": each.counts,
            "findings": [_finding(finding) for finding in each.findings],
        }
        for each in judgements
    ]
    left_out = [name for name in CHECKS if name not in {each.check for each in judgements}]
    return json.dumps(about | {"verdict": str(overall(judgements)), "checks": checks, "left_out": left_out}, indent=2)


def as_text(about: dict[str, object], judgements: Sequence[Judgement]) -> str:
    lines = [f"seed {about.get('seed')}"] if about.get("seed") is not None else []
    by_name = {each.check: each for each in judgements}
    for number, name in enumerate(CHECKS, 1):
        each = by_name.get(name)
        if each is None:
            lines.append(f"{number:2} {name:<17} left out")
            continue
        lines.append(f"{number:2} {name:<17} {each.verdict!s:<11} {each.judged:>12,} {each.unit}")
        for finding in each.findings:
            lines.append(f"      {finding.verdict}: {finding.sentence}")
            lines += [f"          {name}: {value}" for name, value in _flat(finding.evidence)]
        lines += [
            f"      and {count - shown} more: {verdict}"
            for verdict, count in each.counts.items()
            if count > (shown := sum(finding.verdict == verdict for finding in each.findings))
        ]
    return "\n".join([*lines, f"verdict: {overall(judgements)}"])


def overall(judgements: Sequence[Judgement]) -> Verdict:
    order = (Verdict.FAIL, Verdict.NOT_JUDGED, Verdict.INFO, Verdict.OK)
    return next(
        (each for each in order if any(judgement.verdict is each for judgement in judgements)), Verdict.NOT_JUDGED
    )


def _finding(finding: Finding) -> dict[str, object]:
    return {"verdict": str(finding.verdict), "sentence": finding.sentence, "evidence": finding.evidence}


def _flat(evidence: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in evidence.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return found
