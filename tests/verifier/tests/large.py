"""`python -m tests.verifier.tests.large [RECORDS] [DIRECTORY]`: what judging a large run costs.

One lane of so many records, a tenth of them in aborted transactions, written without holding the run in memory; prints
the seconds and the memory that judging took, as a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from tests.verifier.tests.encoding import Encoded, encode, marker
from tests.verifier.tests.world import BASE_TIME_MS, PRODUCER

BATCH = 100
SOURCE = {"cluster": "acme", "topic": "flights", "partition": 0}
DESTINATION = {"cluster": "globex", "topic": "acme.flights", "partition": 0}


def write_large(directory: Path, records: int, seed: int = 1) -> None:
    """Every tenth batch is an aborted transaction with its marker."""
    chance = Random(seed)
    for name in ("writes", "logs", "tables"):
        (directory / name).mkdir()
    offset = copied = 0
    table: list[list[Any]] = []
    with (
        (directory / "logs" / "source").open("wb") as source,
        (directory / "logs" / "copy").open("wb") as copy,
        (directory / "writes" / "all.jsonl").open("w") as journal,
    ):
        for number in range(records // BATCH):
            ids = [chance.randbytes(16) for _ in range(BATCH)]
            batch = [_record(offset + at, each) for at, each in enumerate(ids)]
            aborted = number % 10 == 9
            transaction = f"tx-{number}" if aborted else None
            journal.writelines(_write(offset + at, each, transaction) for at, each in enumerate(ids))
            last, codec = offset + BATCH - 1, number % 5
            if aborted:
                journal.write(json.dumps({"writer": "w", "transaction": transaction, "outcome": "aborted"}) + "\n")
                source.write(encode(offset, last, batch, codec=codec, producer=(9, 0, 0), transactional=True))
                source.write(marker(last + 1, (9, 0), commit=False))
                table += [["gap", offset, last + 1, "aborted"], ["gap", last + 1, last + 2, "marker"]]
            else:
                source.write(encode(offset, last, batch, codec=codec))
                moved = [(copied + at, *each[1:]) for at, each in enumerate(batch)]
                copy.write(encode(copied, copied + BATCH - 1, moved, codec=codec, producer=(PRODUCER, 0, copied)))
                table.append(["run", offset, copied, BATCH])
                copied += BATCH
            offset = last + 1 + aborted
    _describe(directory, offset, copied, table)


def _record(offset: int, identity: bytes) -> Encoded:
    return offset, BASE_TIME_MS + offset, b"key-%d" % (offset % 1000), identity + b"v" * 84, ()


def _write(offset: int, identity: bytes, transaction: str | None) -> str:
    _, timestamp_ms, key, value, _ = _record(offset, identity)
    told = {"writer": "w", "n": offset, "id": identity.hex(), "outcome": "ok", "offset": offset}
    told |= SOURCE | {"key": _digest(key), "value": _digest(value), "headers": [], "timestamp_ms": timestamp_ms}
    return json.dumps(told | {"transaction": transaction}) + "\n"


def _digest(field: bytes | None) -> str:
    return blake2b(field or b"", digest_size=16).hexdigest()


def _describe(directory: Path, source_end: int, copied: int, table: list[list[Any]]) -> None:
    lane = {"lane": "flights-0", "source": SOURCE, "destination": DESTINATION}
    (directory / "run.json").write_text(json.dumps({"format": 1, "seed": 1, "lanes": [lane]}))
    head = {"lane": "flights-0", "start": 0, "position": source_end, "destination_end": copied}
    _lines(directory / "tables" / "flights-0.jsonl", [head, *table])
    common = {"kind": "raw", "reader": "raw", "start": 0}
    logs = [SOURCE | common | {"file": "logs/source", "end": source_end}]
    _lines(directory / "logs.jsonl", [*logs, DESTINATION | common | {"file": "logs/copy", "end": copied}])
    _lines(directory / "epochs.jsonl", [{"lane": "flights-0", "producer_id": PRODUCER, "epoch": 0}])


def _lines(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of judging, in a process of its own."""

    exit_code: int
    report: str
    wall_s: float
    cpu_s: float
    peak_mb: float


def judge_apart(directory: Path) -> Cost:
    without = [word for check in ("acknowledgements", "authorization", "liveness") for word in ("--without", check)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.verifier", str(directory), *without], capture_output=True, text=True, check=False
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s, wall_s = used.ru_utime + used.ru_stime, time.monotonic() - began
    return Cost(done.returncode, done.stdout + done.stderr, wall_s, cpu_s, used.ru_maxrss / 1024)


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        write_large(Path(directory), records)
        cost = judge_apart(Path(directory))
    figures = f"{cost.cpu_s:.1f} s of CPU time in {cost.wall_s:.1f} s, {cost.peak_mb:.0f} MB"
    print(cost.report, f"exit code {cost.exit_code}, {records:,} records: {figures}", sep="\n")


if __name__ == "__main__":
    main()
