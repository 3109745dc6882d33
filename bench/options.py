"""What a run of the benchmark is asked for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from mesh.batch.header import Codec

GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes in bytes; a GB is 10^9 bytes of record values, whatever the codec makes of them."""

    size_gb: float
    record_bytes: int
    batch_bytes: int
    codec: Codec
    partitions: int
    only: str
    """`mesh` or `mm2`; empty for both."""
    json: Path | None
    profile: bool

    @property
    def records_per_batch(self) -> int:
        """A record costs about twelve bytes beside its value."""
        return max(1, self.batch_bytes // (self.record_bytes + 12))

    @property
    def batches_per_partition(self) -> int:
        return max(1, round(self.size_gb * GB / self.partitions / (self.records_per_batch * self.record_bytes)))

    @property
    def records_per_partition(self) -> int:
        return self.batches_per_partition * self.records_per_batch

    @property
    def records(self) -> int:
        return self.records_per_partition * self.partitions

    @property
    def workload(self) -> str:
        return (
            f"{self.records:,} records of {self.record_bytes:,} random bytes "
            f"({self.records * self.record_bytes / GB:.2f} GB) in {self.codec} batches of {self.batch_bytes:,} bytes "
            f"({self.records_per_batch} records), {self.partitions} partitions"
        )


def parse(arguments: list[str] | None, description: str) -> Options:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gb", type=float, default=1.0)
    parser.add_argument("--record-bytes", type=int, default=1000)
    parser.add_argument("--batch-bytes", type=int, default=256_000, help="before compression")
    parser.add_argument("--codec", choices=[str(codec) for codec in Codec], default="lz4")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--only", choices=["mesh", "mm2"], default="")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--profile", action="store_true", help="run the gateways under the sampler; costs a little")
    given = parser.parse_args(arguments)
    return Options(
        given.size_gb,
        given.record_bytes,
        given.batch_bytes,
        Codec[given.codec.upper()],
        given.partitions,
        given.only,
        given.json,
        given.profile,
    )
