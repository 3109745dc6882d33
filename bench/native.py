"""What the compiled part of `mesh.batch.native` brings: CPU seconds per GB of it and of its twin, on each shape.

python -m bench.native [--seconds 0.3]

About 1 MiB of batches is judged again and again, uncompressed, so a GB is a GB of records. `fast` is the reader of
aiokafka (gateway.fast_records) for the same question, for comparison.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from time import process_time
from types import ModuleType

from gateway.fast_records import check_records_fast
from mesh.batch import native, twin
from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, parse_header
from mesh.batch.records import Record
from mesh.batch.twin import Part

TIMESTAMP_MS = 1_700_000_000_000
TOGETHER_BYTES = 1 << 20
MANY = 1 << 40
SHAPES = (
    (100, 16 << 10), (1_000, 16 << 10), (100, 256 << 10), (1_000, 256 << 10), (10_000, 256 << 10),
    (100, 0), (1_000, 0), (10_000, 0),
)  # fmt: skip
"""Bytes of a record's value and of a batch; 0 is one record per batch."""


@dataclass(frozen=True)
class Shape:
    record_bytes: int
    batch_bytes: int
    batches: tuple[bytes, ...]

    def __str__(self) -> str:
        batches = f"{self.batch_bytes >> 10} KB batches" if self.batch_bytes else "one per batch"
        return f"{self.record_bytes:6} B, {batches}"

    @property
    def parts(self) -> list[Part]:
        headers = [(parse_header(batch), batch[HEADER_BYTES:]) for batch in self.batches]
        return [(payload, header.records_count, header.base_timestamp_ms) for header, payload in headers]


def shape_of(record_bytes: int, batch_bytes: int, random: Random) -> Shape:
    each = max(1, batch_bytes // (record_bytes + 15))
    batches: list[bytes] = []
    while sum(map(len, batches)) < TOGETHER_BYTES:
        records = [
            Record(0, TIMESTAMP_MS + n // 10, random.randbytes(8), random.randbytes(record_bytes)) for n in range(each)
        ]
        batches.append(encode(records, base_offset=each * len(batches)))
    return Shape(record_bytes, batch_bytes, tuple(batches))


def steps_of(shape: Shape, of: ModuleType) -> dict[str, Callable[[], object]]:
    """Each step over the whole of the shape."""
    joined, parts = b"".join(shape.batches), shape.parts
    return {
        "stretch": lambda: of.stretch(joined, 0, 0, MANY, MANY, False),
        "admitted": lambda: of.admitted(joined, MANY, MANY),
        "are_records": lambda: [of.are_records(*part) for part in parts],
        "merged": lambda: of.merged(parts),
    }


def by_fast_reader(shape: Shape) -> Callable[[], object]:
    asked = [(parse_header(batch), batch[HEADER_BYTES:]) for batch in shape.batches]

    def check_all() -> None:
        for one in asked:
            check_records_fast(*one)

    return check_all


def cpu_s_per_gb(step: Callable[[], object], size_bytes: int, seconds: float) -> float:
    """The best of three stretches, each of a third of `seconds` at least."""
    step()
    best = float("inf")
    for _ in range(3):
        times, began = 0, process_time()
        while (took := process_time() - began) < seconds / 3:
            step()
            times += 1
        best = min(best, took / (times * size_bytes) * 1e9)
    return best


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.native")
    parser.add_argument("--seconds", type=float, default=0.3, help="CPU time for each figure")
    options = parser.parse_args()
    if not native.IS_COMPILED:
        print("nothing was compiled: there is only the twin")
        return 1
    random = Random(1)
    print("shape                        step          compiled      twin     ratio      fast   (CPU-s per GB)")
    for shape in (shape_of(*sizes, random) for sizes in SHAPES):
        size = sum(map(len, shape.batches))
        compiled, plain = steps_of(shape, native), steps_of(shape, twin)
        for name, step in compiled.items():
            ours = cpu_s_per_gb(step, size, options.seconds)
            theirs = cpu_s_per_gb(plain[name], size, options.seconds)
            fast = cpu_s_per_gb(by_fast_reader(shape), size, options.seconds) if name == "are_records" else None
            beside = f"{fast:9.3f}" if fast is not None else ""
            print(f"{shape!s:28} {name:12} {ours:9.3f} {theirs:9.3f} {theirs / ours:8.1f} x {beside}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
