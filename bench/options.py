"""What is copied in a run of the benchmark, and what else a run is asked for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from mesh.batch.header import Codec

GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """A topic as it is filled. Sizes in bytes; a GB is 10^9 bytes of record values, whatever a codec makes of them."""

    size_gb: float
    record_bytes: int
    batch_bytes: int
    """Before compression; one that is smaller than a record holds one."""
    codec: Codec
    partitions: int
    compressible: float = 1.0
    """How many times smaller a good codec makes the records, about; 1 for random bytes."""

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
    def expected(self) -> list[int]:
        """The records of each partition."""
        return [self.records_per_partition] * self.partitions

    @property
    def text(self) -> str:
        kind = "random bytes" if self.compressible == 1 else f"bytes that shrink about {self.compressible:g} times"
        batch = "one record" if self.records_per_batch == 1 else f"{self.batch_bytes:,} bytes"
        return (
            f"{self.records:,} records of {self.record_bytes:,} {kind} "
            f"({self.records * self.record_bytes / GB:.2f} GB) in {self.codec} batches of {batch} "
            f"({self.records_per_batch} records), {self.partitions} partitions"
        )


@dataclass(frozen=True, slots=True)
class Options(Workload):
    """Of `bench.catchup`."""

    only: str = ""
    """`mesh` or `mm2`; empty for both."""
    json: Path | None = None
    profile: bool = False


def parse(arguments: list[str] | None, description: str) -> Options:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gb", type=float, default=1.0)
    parser.add_argument("--record-bytes", type=int, default=1000)
    parser.add_argument("--batch-bytes", type=int, default=256_000, help="before compression; 1 for one record each")
    parser.add_argument("--codec", choices=[str(codec) for codec in Codec], default="lz4")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--compressible", type=float, default=1.0, metavar="RATIO", help="1 for random bytes")
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
        given.compressible,
        given.only,
        given.json,
        given.profile,
    )
