"""What is copied, by row: workloads, who copies them, and how long a run of each should take, about.

Sizes are such that the slower side copies for ten seconds at least and MirrorMaker is compiled by the second half; one
record per batch costs a broker a request each, so that row is smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.mirrors import AS_IT_COMES, MESH, TUNED
from bench.options import Workload
from mesh.batch.header import Codec

KB16, KB256 = 16_000, 256_000
ONE_RECORD = 1
LANES = 4
START_S = {MESH: 6.0, TUNED: 15.0, AS_IT_COMES: 15.0}
"""Around a run: processes that start and end, a subscription, topics."""
USUAL_MB_PER_S = {MESH: 110.0, TUNED: 70.0, AS_IT_COMES: 50.0}
USUAL_RECORDS_PER_S = {MESH: 150_000.0, TUNED: 200_000.0, AS_IT_COMES: 120_000.0}
FILLED_MB_PER_S, FILLED_BATCHES_PER_S = 250, 12_000


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    """Also that of its topic."""
    title: str
    workload: Workload
    sides: tuple[str, ...] = (MESH, TUNED)
    is_judged: bool = False
    """Whether there is a target, so that it is repeated."""
    settings: tuple[str, ...] = ()
    """Of both gateways, beside their defaults."""

    def scaled(self, factor: float) -> Row:
        return replace(self, workload=replace(self.workload, size_gb=self.workload.size_gb * factor))

    def repeats(self, repeat: int) -> int:
        return repeat if self.is_judged else 1

    def estimate_s(self, repeat: int) -> float:
        """Seconds that it takes to fill it and to copy it that often."""
        load = self.workload
        megabytes, batches = load.size_gb * 1000, load.batches_per_partition * load.partitions
        fill_s = megabytes / FILLED_MB_PER_S + batches / FILLED_BATCHES_PER_S
        return fill_s + self.repeats(repeat) * sum(_run_s(side, load) for side in self.sides)


def _run_s(side: str, load: Workload) -> float:
    copying_s = max(load.size_gb * 1000 / USUAL_MB_PER_S[side], load.records / USUAL_RECORDS_PER_S[side])
    return START_S[side] + copying_s


def _load(
    size_gb: float, record_bytes: int, batch_bytes: int, codec: Codec = Codec.LZ4, lanes: int = LANES
) -> Workload:
    return Workload(size_gb, record_bytes, batch_bytes, codec, lanes)


MAIN = Row(
    "1kb-256kb-lz4",
    "1 KB, 256 KB lz4",
    _load(2.0, 1000, KB256),
    is_judged=True,
)
SMALL = Row("1kb-16kb-lz4", "1 KB, 16 KB lz4", _load(1.2, 1000, KB16), is_judged=True)
ROWS: Sequence[Row] = (
    Row("100b-16kb-lz4", "100 B, 16 KB lz4", _load(0.5, 100, KB16), is_judged=True),
    SMALL,
    MAIN,
    Row("10kb-256kb-lz4", "10 KB, 256 KB lz4", _load(2.0, 10_000, KB256), is_judged=True),
    Row("1kb-one-record", "1 KB, one record", _load(0.3, 1000, ONE_RECORD, Codec.NONE), is_judged=True),
    Row("1kb-256kb-as-it-comes", "1 KB, 256 KB lz4, MirrorMaker as it comes", _load(1.0, 1000, KB256), (AS_IT_COMES,)),
    Row("1kb-256kb-none", "1 KB, 256 KB none", _load(1.0, 1000, KB256, Codec.NONE)),
    Row("1kb-256kb-zstd", "1 KB, 256 KB zstd", _load(1.0, 1000, KB256, Codec.ZSTD)),
    Row("1kb-256kb-1-lane", "1 KB, 256 KB lz4, 1 lane", _load(1.0, 1000, KB256, lanes=1)),
    Row("1kb-256kb-8-lanes", "1 KB, 256 KB lz4, 8 lanes", _load(1.0, 1000, KB256, lanes=8)),
    Row("1kb-256kb-64-lanes", "1 KB, 256 KB lz4, 64 lanes", _load(1.0, 1000, KB256, lanes=64)),
    Row(
        "1kb-256kb-none-shrinks",
        "1 KB, 256 KB none, shrinks 4 x",
        replace(_load(1.0, 1000, KB256, Codec.NONE), compressible=4.0),
    ),
)
QUICK = (SMALL.scaled(0.25), MAIN.scaled(0.3))
"""Enough to see where it stands: MirrorMaker is not compiled yet."""


def chosen(names: Sequence[str], rows: Sequence[Row] = ROWS) -> list[Row]:
    """The rows of these names, all where none is named. Raises ValueError for a name that no row has."""
    if unknown := set(names) - {row.name for row in rows}:
        raise ValueError(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in rows)}")
    return [row for row in rows if not names or row.name in names]
