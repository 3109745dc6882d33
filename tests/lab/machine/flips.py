"""Bits that change on the disk: python -m tests.lab.machine.flips [--seed N] [--flips N] [--every]

The files of an embedded log whose gateway is stopped (database and mark) or was killed (write-ahead log beside them)
are damaged: one bit of one byte is flipped, or a file is cut. Each damaged copy is opened by the gateway's own code and
read to its last byte. Either that fails with an error that has a name, or everything is read as it was: anything else
is silent damage. What a gateway keeps beside its log is flipped by `tests.lab.machine.state_flips`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from gateway.embedded.cluster import open_embedded
from gateway.embedded.mark import MARK_FILE
from mesh.batch.stamp import Producer
from mesh.cluster_errors import TopicAbsent
from mesh.errors import MeshError
from tests.lab.machine.power import recorded
from tests.lab.machine.recording import GROUP
from tests.lab.machine.telling import seeded, told
from tests.lab.machine.trace import Disk, Step, write_files
from tests.support.mirror import DESTINATION, TO, records_of_partition

Files = dict[str, bytes]
NAMED = ("log-damaged", "log-unusable")
"""How damage may be told. That something is absent, say, would be a wrong answer."""


@dataclass(frozen=True, slots=True)
class Damage:
    """`bit` -1: the file is cut at `at`."""

    file: str
    at: int
    bit: int

    def of(self, files: Files) -> Files:
        data = bytearray(files[self.file])
        if self.bit < 0:
            del data[self.at :]
        else:
            data[self.at] ^= 1 << self.bit
        return files | {self.file: bytes(data)}


@dataclass
class Found:
    seed: int
    met: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        met = ", ".join(f"{count} {name}" for name, count in sorted(self.met.items()))
        return f"bit flips: seed {self.seed}, {met}; {len(self.silent)} silent"


def stopped_and_killed(steps: Sequence[Step]) -> dict[str, Files]:
    """The files of one log: after its gateway stopped, and in the middle, the last of it in the write-ahead log."""
    disk, killed = Disk(), {}
    for taken, step in enumerate(steps, 1):
        disk.apply(step)
        # Right behind a mark: what comes after it was promised to nobody, and may be missing.
        if step.file == MARK_FILE and taken <= len(steps) * 2 // 3:
            killed = disk.whole()
    return {"stopped": disk.whole(), "killed": killed}


def some(files: Files, count: int, chance: Random) -> Iterator[Damage]:
    """Flips of any file, as many of a small one as of a large one, and cuts; the first bytes of each more often."""
    for number in range(count):
        file = chance.choice(sorted(files))
        size = len(files[file])
        at = chance.randrange(min(size, 128) if number % 4 == 0 else size)
        yield Damage(file, at, -1 if number % 10 == 9 else chance.randrange(8))


def every(files: Files, chance: Random) -> Iterator[Damage]:
    """One flip of every byte."""
    for file, data in files.items():
        for at in range(len(data)):
            yield Damage(file, at, chance.randrange(8))


def judge(found: Found, name: str, files: Files, damages: Iterator[Damage], scratch: Path) -> None:
    right = _read(files, scratch)
    assert isinstance(right, dict), right
    for damage in damages:
        answer = _read(damage.of(files), scratch)
        if answer in NAMED:
            found.met[f"{name}: detected ({answer})"] += 1
        elif answer == right:
            found.met[f"{name}: harmless"] += 1
        else:
            held = answer if isinstance(answer, dict) else {}
            wrong = [key for key in right if right[key] != held.get(key)] if held else answer
            found.silent.append(f"{name}, {damage}: {wrong} read otherwise")


def _read(files: Files, scratch: Path) -> dict[str, object] | str:
    """Everything that the log holds, or the code of the error that says why not."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        log = Path(directory) / "log"
        write_files(files, log)
        try:
            return asyncio.run(_contents(log))
        except MeshError as error:
            return error.code


async def _contents(directory: Path) -> dict[str, object]:
    cluster = await open_embedded(directory, now_ms=0)
    try:
        try:
            records: object = await records_of_partition(cluster, TO)
        except TopicAbsent:
            records = None
        return {
            "id": cluster.cluster_id,
            "topics": await cluster.topics.list(),
            "records": records,
            "range": await cluster.source.range(TO),
            "control": await cluster.control.load(""),
            "lanes": await cluster.lanes.load(""),
            "audit": await cluster.audit.read(0, 1000),
            "groups": (await cluster.groups.describe(GROUP, [DESTINATION])).positions,
            "witness": [await cluster.destination.witness(TO, Producer(number, 0), 0) for number in range(3)],
        }
    finally:
        await cluster.close()


def main() -> int:
    parser = seeded(__doc__)
    parser.add_argument("--flips", type=int, default=1000, help="of each of the two copies")
    parser.add_argument("--every", action="store_true", help="every byte of every file, once")
    chosen = parser.parse_args()
    chance, found, began = Random(chosen.seed), Found(chosen.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for name, files in stopped_and_killed(recorded()).items():
            damages = every(files, chance) if chosen.every else some(files, chosen.flips, chance)
            judge(found, name, files, damages, Path(scratch))
    return told(found, found.silent, began)


if __name__ == "__main__":
    sys.exit(main())
