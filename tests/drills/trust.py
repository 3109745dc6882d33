"""Attacks on trust between two running organizations, and what revocation and rotation cost a running stream.

    python -m tests.drills.trust [--runs 50] [--rotations 3]

Two gateway processes on the embedded log, real sockets on loopback, and a hostile third organization with its own CA.
Exit code 1 where an attack is not refused for the stated reason, or a measure misses its bound.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from rich.console import Console

from tests.drills import connection, first_contact, measures
from tests.drills.attack import Attack, Measure, Outcome, Target, played
from tests.drills.report import closing, holds, show
from tests.drills.stage import Stage, staged
from tests.drills.stream import Stream, streaming

DRAIN_S = 60.0


@dataclass
class Drill:
    """What is to be done, and what came of it."""

    runs: int
    rotations: int
    console: Console
    outcomes: list[Outcome] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)

    async def run(self, home: Path) -> None:
        async with staged(home) as stage:
            self._say("attacks on first contact")
            await stage.inviter.invite("other.example")  # the listener stays open between the attacks
            await self._play(first_contact.ATTACKS, stage.scene)
            self._say("the honest first contact, a share, a running stream")
            await stage.meet()
            await stage.mirror()
            try:
                await self._streaming(stage)
            except Exception as error:  # the table is shown, and says so
                self.measures.append(Measure("running stream", f"broke: {error!r:.300}", "", False))
            self.measures += await measures.carried_out(measures.verified, stage.globex)
            self.measures += await measures.carried_out(measures.audited, stage.acme, stage.globex)

    async def _streaming(self, stage: Stage) -> None:
        acme, globex = stage.acme, stage.globex
        with streaming(acme, globex, DRAIN_S) as stream:
            self._say("attacks on the port for peers")
            since = len(stream.arrived)
            await self._play(connection.ATTACKS, stage.assault)
            await asyncio.to_thread(stream.wait_flowing, DRAIN_S)
            self.measures.append(measures.untouched(stream, since))
            await self._measure(stage, stream)

    async def _measure(self, stage: Stage, stream: Stream) -> None:
        acme, globex = stage.acme, stage.globex
        self._say("revocations")
        self.measures += await measures.carried_out(measures.revocations, acme, globex, stream, self.runs)
        few = ceil(self.runs / 5)
        self.measures += await measures.carried_out(measures.suspensions, acme, globex, stream, few)
        self.measures += await measures.carried_out(measures.served, acme, globex, stream, self.runs)
        self._say("rotations")
        self.measures += await measures.carried_out(measures.leaf_rotations, stream, self.rotations, acme, globex)
        self.measures += await measures.carried_out(measures.ca_rotations, stream, acme, globex)

    async def _play(self, attacks: Iterable[Attack[Target]], target: Target) -> None:
        for attack in attacks:
            self.outcomes.append(await played(attack, target))

    def _say(self, what: str) -> None:
        self.console.print(what, style="dim")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.trust", description="Attacks on trust, and its cost.")
    parser.add_argument("--runs", type=int, default=50, help="revocations that are measured")
    parser.add_argument("--rotations", type=int, default=3, help="rotations of each side's leaf")
    given = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    drill = Drill(given.runs, given.rotations, console)
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(drill.run(Path(home)))
    show(console, drill.outcomes, drill.measures)
    console.print(closing(drill.outcomes))
    return 0 if holds(drill.outcomes, drill.measures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
