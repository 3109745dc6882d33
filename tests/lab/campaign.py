"""Many runs: planned from a seed, dealt to worker processes, and added up.

A campaign counts only if it met the states that its faults aim at: an aim of a fault that struck and was never met
fails it, and so does a place that no gateway was killed at. Strikes are dealt like cards, so that every fault of the
table comes as often as its weight says; which run has which, and in what order, is drawn from the seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from tests.lab.faults import EMBEDDED, FAULTS, KAFKA, Entry, possible
from tests.lab.faults.processes import REQUIRED
from tests.lab.run import GOOD, Outcome, RunPlan
from tests.support.figures import percentile

KILLS_OF_A_RUN = {EMBEDDED: 30, KAFKA: 24}
SHARE_OF_KAFKA = 0.45
KINDS = (EMBEDDED, KAFKA)
MOST_STRIKES = 14
EVERY_WIRED, WIRED_STRIKES = 3, 6
"""One run of so many has proxies on its wires; so many faults of them strike in it, beside the others."""
ALL_PLACES_FROM = 300
"""Kills: a campaign of so many must have met every named place."""


def plan(seed: int, kills: int, *, short: bool = False) -> list[RunPlan]:
    """Runs with at least so many kills in all, or the short ones."""
    return _short(seed) if short else list(_long(seed, kills))


def _short(seed: int) -> list[RunPlan]:
    """One run of each kind; each fault that is marked so strikes once."""
    plans = []
    for at, kind in enumerate((EMBEDDED, KAFKA)):
        names = [each.name for each in possible(kind) if each.is_short and not each.wired]
        plans.append(RunPlan(seed + at, kind, tuple(Random(f"{seed}/{kind}").sample(names, len(names)))))
    return plans


def _long(seed: int, kills: int) -> Iterator[RunPlan]:
    plain = {
        kind: Deck(Random(f"{seed}/{kind}"), [each for each in possible(kind) if not each.wired]) for kind in KINDS
    }
    wired = {kind: Deck(Random(f"{seed}/{kind}/w"), [each for each in possible(kind) if each.wired]) for kind in KINDS}
    planned: Counter[str] = Counter()
    number = 0
    while planned.total() < kills:
        kind = KAFKA if planned[KAFKA] < SHARE_OF_KAFKA * planned.total() else EMBEDDED
        strikes = plain[kind].deal(KILLS_OF_A_RUN[kind], MOST_STRIKES)
        if number % EVERY_WIRED == EVERY_WIRED - 1:
            strikes += wired[kind].deal(KILLS_OF_A_RUN[kind], WIRED_STRIKES)
            Random(f"{seed}/{number}").shuffle(strikes)
        made = RunPlan(seed * 1000 + number, kind, tuple(each.name for each in strikes))
        yield made
        planned[kind] += made.kills
        number += 1


@dataclass
class Deck:
    chance: Random
    entries: Sequence[Entry]
    _left: list[Entry] = field(default_factory=list)

    def deal(self, kills: int, most: int) -> list[Entry]:
        """Strikes of one run: about so many kills, and at most so many strikes, as some kill nobody."""
        dealt: list[Entry] = []
        while self.entries and sum(each.kills for each in dealt) < kills and len(dealt) < most:
            if not self._left:
                self._left = [each for each in self.entries for _ in range(each.weight)]
                self.chance.shuffle(self._left)
            dealt.append(self._left.pop())
        return dealt


@dataclass
class Result:
    """What a campaign came to."""

    seed: int
    runs: list[dict[str, Any]] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, told: dict[str, Any]) -> None:
        self.runs.append(told)
        self.met.update(told["met"])

    @property
    def kills(self) -> int:
        return sum(each["kills"] for each in self.runs)

    @property
    def records(self) -> int:
        return sum(each["records"] for each in self.runs)

    @property
    def violations(self) -> int:
        return sum(each["violations"] for each in self.runs)

    def rows(self) -> Counter[str]:
        """How often faults of each row of the fault table struck."""
        return sum((Counter(each["rows"]) for each in self.runs), Counter())

    def never(self) -> list[str]:
        """What should have been met and was not."""
        required = REQUIRED if self.kills >= ALL_PLACES_FROM else frozenset()
        return sorted(aim for aim in self.aims().keys() | required if not self.met[aim])

    def aims(self) -> dict[str, str]:
        """Of the faults that struck, with the row of each."""
        return {aim: row for each in self.runs for aim, row in each["aims"].items()}

    def recovery_s(self, what: str, part: float) -> float | None:
        """A quantile of `from_ready_s` or `from_kill_s`."""
        times = [each[what] for run in self.runs for each in run["recoveries"]]
        return round(percentile(times, part), 3) if times else None

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "versions": self.versions,
            "seconds": round(self.seconds, 1),
            "kills": self.kills,
            "records": self.records,
            "violations": self.violations,
            "recovery_s": {
                what: {f"p{int(part * 100)}": self.recovery_s(what, part) for part in (0.5, 0.99)}
                for what in ("from_ready_s", "from_kill_s")
            },
            "rows": dict(sorted(self.rows().items())),
            "aims": dict(sorted(self.aims().items())),
            "sometimes": dict(sorted(self.met.items())),
            "never": self.never(),
            "not_possible_here": {each.name: why for each in FAULTS if (why := each.hindrance())},
            "runs": [_published(each) for each in self.runs],
        }


def _published(run: dict[str, Any]) -> dict[str, Any]:
    """Without the places of this machine: where it lay, and tracebacks."""
    kept = {key: value for key, value in run.items() if key != "directory"}
    return kept | {"trouble": [each.splitlines()[0] for each in run["trouble"]]}


def told(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a worker reports it."""
    return {
        "seed": outcome.plan.seed,
        "kind": outcome.plan.kind,
        "line": outcome.line(),
        "strikes": list(outcome.plan.strikes),
        "rows": dict(sorted(outcome.rows.items())),
        "aims": dict(sorted(outcome.aims.items())),
        "kills": outcome.kills,
        "records": outcome.records,
        "violations": outcome.violations,
        "checks": {check: verdict for check, verdict in outcome.checks.items() if verdict not in GOOD},
        "trouble": outcome.trouble,
        "findings": outcome.findings,
        "met": outcome.met,
        "recoveries": [asdict(each) for each in outcome.recoveries],
        "seconds": round(outcome.seconds, 1),
        "directory": str(outcome.directory),
        "wired": outcome.plan.is_wired,
    }
