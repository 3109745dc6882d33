"""The power fails at every step of a recorded lane: python -m tests.lab.machine.power

    [--seed N] [--moments N] [--torn N]

For each prefix of the steps, the disk holds all of them (the process died), only what was synced, or some of what was
not, torn at sectors (`--torn` drawings of each). Each is opened with the gateway's own code and judged by
`tests.lab.machine.survivors`; of every `GO_ON_EVERY`-th the lane is also run to its end.
"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.lab.machine.survivors import Promised, check, go_on
from tests.lab.machine.telling import seeded, told
from tests.lab.machine.trace import Disk, Step, write_files

GO_ON_EVERY = 20
_ROOT = Path(__file__).parents[3]


@dataclass
class Losses:
    seed: int
    steps: int
    met: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        met = ", ".join(f"{count} {name}" for name, count in sorted(self.met.items()))
        return f"power loss: seed {self.seed}, {self.steps} steps, {met}; {len(self.violations)} violations"


def recorded() -> list[Step]:
    """In a process of its own: the shim lies below all of SQLite there."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "trace"
        command = [sys.executable, "-m", "tests.lab.machine.recording", str(file)]
        subprocess.run(command, cwd=_ROOT, check=True, timeout=120)
        steps: list[Step] = pickle.loads(file.read_bytes())
        return steps


def lose(steps: Sequence[Step], seed: int, moments: Sequence[int], torn: int, scratch: Path) -> Losses:
    """`moments` are numbers of steps that were taken when the power failed."""
    losses, chance, disk = Losses(seed, len(steps)), Random(seed), Disk()
    wanted = frozenset(moments)
    for taken, step in enumerate(steps, 1):
        disk.apply(step)
        if taken in wanted:
            for what, files in _left(disk, torn, chance):
                _judge(losses, taken, what, files, Promised.by(disk.notes), scratch)
    return losses


def _left(disk: Disk, torn: int, chance: Random) -> Iterator[tuple[str, dict[str, bytes]]]:
    yield "whole", disk.whole()
    if disk.unsynced:
        yield "synced", disk.synced()
        for _ in range(torn):
            yield "torn", disk.torn(chance)


def _judge(losses: Losses, taken: int, what: str, files: dict[str, bytes], promised: Promised, scratch: Path) -> None:
    number = losses.met.total()
    directory = scratch / f"{taken}.{number}"
    write_files(files, directory)
    losses.met[what] += 1
    try:
        asyncio.run(check(directory, promised))
        if number % GO_ON_EVERY == 0:
            losses.met["gone on"] += 1
            asyncio.run(go_on(directory))
    except Exception as error:  # whatever it is, it is what a gateway would have met
        losses.violations.append(f"after {taken} steps, {what}, {promised}: {type(error).__name__}: {error}")
        return
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def main() -> int:
    parser = seeded(__doc__)
    parser.add_argument("--moments", type=int, help="so many, drawn by chance; all where not given")
    parser.add_argument("--torn", type=int, default=4)
    chosen = parser.parse_args()
    steps, began = recorded(), time.monotonic()
    every = range(1, len(steps) + 1)
    moments = every if chosen.moments is None else Random(chosen.seed).sample(every, chosen.moments)
    with tempfile.TemporaryDirectory() as scratch:
        losses = lose(steps, chosen.seed, moments, chosen.torn, Path(scratch))
    return told(losses, losses.violations, began)


if __name__ == "__main__":
    sys.exit(main())
