"""Two gateways, each in a network namespace of its own, whose wire the kernel cuts: what no proxy can do.

    python -m tests.lab.wire.sites [--seed 1] [--json FILE]

Rows: link down, link down until given up, packets of one direction lost (each), a rate limit. Each is healed, and
the time to the next record is told; in the end both logs are compared. Where there are no namespaces it says so and
exits 0: a row that was not run is no row that held.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.faults.wire_aims import links, met, stands_still
from tests.lab.stage import Counters, Stage
from tests.lab.wire.namespaces import Namespace, enter, hindrance, inside, joined
from tests.lab.wire.rig import EAGER, Feeder, Rig, mirrored
from tests.support.cli import CliResult
from tests.support.organization import Organization, stop_all

STALL_S = 10.0
HEALED_S = 60.0


@dataclass
class HousedOrganization(Organization):
    namespace: str = ""

    @classmethod
    def house(cls, home: Path, org: str, namespace: Namespace) -> HousedOrganization:
        made = Organization.init(home, org)
        peers = f"{namespace.address}:{made.peers.rpartition(':')[2]}"
        return cls(home, org, made.admin, peers, (f"listen.peers={peers}", *EAGER), namespace=namespace.name)

    def command(self, *settings: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *super().command(*settings)]

    def try_mesh(self, *arguments: str, stdin: bytes = b"") -> CliResult:
        return inside(self.namespace, lambda: super(HousedOrganization, self).try_mesh(*arguments, stdin=stdin))


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    strike: Callable[[Namespace, Namespace], None]
    heal: Callable[[Namespace, Namespace], None]
    stalls: bool = True
    outlives: bool = False


ROWS = (
    Row("link down", lambda one, _: one.down(), lambda one, _: one.up()),
    Row("link down until given up", lambda one, _: one.down(), lambda one, _: one.up(), outlives=True),
    Row("source's packets lost", lambda one, other: one.mute(other), lambda one, other: one.speak(other)),
    Row("copy's packets lost", lambda one, other: other.mute(one), lambda one, other: other.speak(one)),
    Row(
        "source's packets lost until given up",
        lambda one, other: one.mute(other),
        lambda one, other: one.speak(other),
        outlives=True,
    ),
    Row("1 MB/s", lambda one, _: one.limit(1_000_000), lambda one, _: one.limit(0), stalls=False),
)


@dataclass
class Outcome:
    resume_s: dict[str, float] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    records: int = 0


@contextmanager
def housed(directory: Path, seed: int, one: Namespace, other: Namespace) -> Iterator[Rig]:
    acme = HousedOrganization.house(directory / "acme", "acme.example", one)
    globex = HousedOrganization.house(directory / "globex", "globex.example", other)
    feeder = Feeder(acme, seed, lambda: enter(one.name))
    with stop_all(acme, globex):
        try:
            stage = mirrored(directory, seed, acme, globex)
            feeder.start()
            stage.wait_progress(0)
            yield Rig(stage, feeder)
        finally:
            feeder.stop()


def suffer(made: Rig, row: Row, one: Namespace, other: Namespace, outcome: Outcome) -> None:
    stage = made.stage
    stage.wait_progress()
    row.strike(one, other)
    try:
        if row.stalls and met("a stall", lambda: stands_still(stage), STALL_S):
            outcome.counters.sometimes(f"{row.name}: the lane stood still")
        if row.outlives and met("the end of the link", lambda: _gave_up(stage), STALL_S):
            outcome.counters.sometimes(f"{row.name}: a gateway gave the link up")
        if not row.stalls:
            stage.wait_progress()
            outcome.counters.sometimes(f"{row.name}: records went on")
    finally:
        row.heal(one, other)
    healed_s = time.monotonic()
    stage.wait_progress(timeout_s=HEALED_S)
    outcome.resume_s[row.name] = round(time.monotonic() - healed_s, 2)


def _gave_up(stage: Stage) -> bool:
    copy = stage.copy.organization
    assert isinstance(copy, HousedOrganization)
    return inside(copy.namespace, lambda: links(copy)) == 0


def aims(row: Row) -> list[str]:
    found = [f"{row.name}: the lane stood still" if row.stalls else f"{row.name}: records went on"]
    return [*found, f"{row.name}: a gateway gave the link up"] if row.outlives else found


def run_rows(seed: int) -> Outcome:
    outcome = Outcome()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sites-")))
        one, other = stack.enter_context(joined())
        made = stack.enter_context(housed(directory, seed, one, other))
        for row in ROWS:
            suffer(made, row, one, other, outcome)
        outcome.records = made.finish()
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.wire.sites")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if why := hindrance():
        print(f"sites: not run: {why}")
        return 0
    outcome = run_rows(options.seed)
    never = outcome.counters.never(aim for row in ROWS for aim in aims(row))
    if options.json:
        told = {"seed": options.seed, "resume_s": outcome.resume_s, "sometimes": outcome.counters.all()}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for row, resume_s in outcome.resume_s.items():
        print(f"{row}: heal to the next record {resume_s:.2f} s")
    for aim in never:
        print(f"NEVER {aim}")
    print(f"sites: {len(ROWS)} rows, {outcome.records} records, 0 lost, twice or out of order, {len(never)} not met")
    return 1 if never else 0


if __name__ == "__main__":
    sys.exit(main())
