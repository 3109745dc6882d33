"""What an offset map of a million runs costs: microseconds per lookup both ways, bytes per run, seconds to load.

python -m bench.offset_lookup [--runs 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from bench.goal import Target, verdict
from bench.versions import versions
from mesh.offsets.map import OffsetMap
from mesh.spans import GapReason

LOOKUPS = 200_000
MOST_US, MOST_BYTES = 20.0, 32.0


def build(runs: int, rng: random.Random) -> OffsetMap:
    """Each run is followed by a marker, as a source with small transactions has it: the most breaks there can be."""
    offset_map = OffsetMap(0)
    for _ in range(runs):
        offset_map.add_records(offset_map.position, offset_map.destination_offset, rng.randint(1, 5_000))
        offset_map.add_gap(offset_map.position, 1, GapReason.MARKER)
    return offset_map


def lookup_us(ask: Callable[[int], object], end: int, rng: random.Random) -> float:
    offsets = [rng.randrange(end) for _ in range(LOOKUPS)]
    began = perf_counter()
    for offset in offsets:
        ask(offset)
    return (perf_counter() - began) / LOOKUPS * 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    runs, rng = given.runs, random.Random(1)
    tracemalloc.start()
    offset_map = build(runs, rng)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    forward = lookup_us(offset_map.translate, offset_map.position, rng)
    back = lookup_us(offset_map.translate_back, offset_map.destination_offset, rng)
    packed = offset_map.breaks_since(0)
    began = perf_counter()
    OffsetMap.load(0, [packed], offset_map.position)
    load_s = perf_counter() - began
    print(f"runs {runs}, each with a gap; records {offset_map.records}")
    print(f"source to destination {forward:.2f} us, destination to source {back:.2f} us per lookup")
    print(f"{held / runs:.2f} bytes per run with its gap in memory, {len(packed) / runs:.2f} stored")
    print(f"loading takes {load_s:.2f} s")
    targets = [
        Target(f"offset lookup, {runs:,} runs", max(forward, back), MOST_US, "us"),
        Target(f"offset map, {runs:,} runs", held / runs, MOST_BYTES, "bytes per run"),
    ]
    if given.json:
        figures = {"forward_us": forward, "back_us": back, "bytes_per_run": held / runs, "load_s": load_s}
        rounded = {name: round(value, 2) for name, value in figures.items()}
        document = {"targets": [each.told() for each in targets], "versions": versions(), "runs": runs, **rounded}
        given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(verdict("offset lookup", targets))


if __name__ == "__main__":
    main()
