"""What an application gets from the gateway beside it, through the SDK: records/s published and read, and latency.

    python -m bench.local [--records 200000] [--rate 20000] [--seconds 10] [--cores 1] [--json FILE]

One application process (this one) and one gateway on the embedded log, with records of 1 KB and one key in a hundred.
With `--cores 1` both share one core, with the kernel's part of it. Four parts: as fast as it goes in, as fast as it
comes out, both at once at a steady rate, and one record after another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.cpu import cpu_s
from bench.gateways import Home
from bench.process import Child
from mesh.sdk import Client
from tests.support.cli import run
from tests.support.ports import free_ports

TOPIC, PARTITIONS, KEYS = "bench", 4, 100
LONE = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One part: how fast, and what a record cost the application and the gateway."""

    part: str
    records: int
    records_per_s: float
    application_us: float
    """CPU of one record."""
    gateway_us: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    def line(self) -> str:
        latency = f"{self.p50_ms:8.2f} {self.p99_ms:8.2f}" if self.p99_ms else " " * 17
        rate = f"{self.records_per_s:12,.0f}"
        return f"{self.part:34} {rate} {self.application_us:12.1f} {self.gateway_us:10.1f} {latency}"


HEADING = f"{'':34} {'records/s':>12} {'app us/rec':>12} {'gw us/rec':>10} {'p50 ms':>8} {'p99 ms':>8}"


class Meter:
    """Wall and CPU from its making on."""

    def __init__(self, gateway: Child) -> None:
        self._gateway = gateway
        self._wall, self._own, self._other = time.perf_counter(), time.process_time(), cpu_s(gateway.pid)

    def row(self, part: str, records: int, latencies_s: Sequence[float] = ()) -> Row:
        wall_s = time.perf_counter() - self._wall
        own_us, other_us = (
            seconds * 1e6 / records
            for seconds in (time.process_time() - self._own, cpu_s(self._gateway.pid) - self._other)
        )
        found = sorted(latencies_s)
        p50, p99 = (found[int(len(found) * part)] * 1000 for part in (0.5, 0.99)) if found else (0.0, 0.0)
        return Row(part, records, records / wall_s, own_us, other_us, p50, p99)


async def fill(client: Client, meter: Meter, records: int, value: bytes) -> Row:
    for number in range(records):
        await client.send(TOPIC, value, key=b"key-%d" % (number % KEYS))
    await client.flush()
    return meter.row("publish, as fast as it goes", records)


async def empty(client: Client, meter: Meter, records: int) -> Row:
    count = 0
    async for _ in client.read(TOPIC, until_end=True):
        count += 1
    assert count == records, f"{count} of {records} records were read"
    return meter.row("read, as fast as it comes", records)


async def steady(client: Client, meter: Meter, rate: int, seconds: float, size_bytes: int) -> Row:
    """Publish at a rate and read it meanwhile; the latency is from the hand-over to the reader."""
    total = round(rate * seconds)

    async def publish() -> None:
        began, pad = time.perf_counter(), b"x" * (size_bytes - 20)
        for number in range(total):
            ahead_s = number / rate - (time.perf_counter() - began)
            if ahead_s > 0.001:
                await asyncio.sleep(ahead_s)
            await client.send(TOPIC, b"%020d" % time.perf_counter_ns() + pad, key=b"key-%d" % (number % KEYS))
        await client.flush()

    async with client.read(TOPIC, start="latest", max_records=total) as reader, asyncio.TaskGroup() as group:
        group.create_task(publish())
        latencies_s = [(time.perf_counter_ns() - int((record.value or b"")[:20])) / 1e9 async for record in reader]
    return meter.row(f"both, at {rate:,} records/s", total, latencies_s)


async def lone(client: Client, meter: Meter, value: bytes) -> Row:
    latencies_s = []
    for _ in range(LONE):
        began = time.perf_counter()
        await client.publish(TOPIC, value, key=b"key")
        latencies_s.append(time.perf_counter() - began)
    return meter.row("publish, one after another", LONE, latencies_s)


async def measure(home: Home, gateway: Child, given: argparse.Namespace) -> list[Row]:
    value = os.urandom(given.record_bytes)
    rows = []
    async with Client(state_dir=home.directory / "state") as client:
        rows.append(await fill(client, Meter(gateway), given.records, value))
        rows.append(await empty(client, Meter(gateway), given.records))
        rows.append(await steady(client, Meter(gateway), given.rate, given.seconds, given.record_bytes))
        rows.append(await lone(client, Meter(gateway), value))
    return rows


def organization(directory: Path) -> Home:
    admin, peers = (f"127.0.0.1:{port}" for port in free_ports(2))
    where = ["--admin", admin, "--listen", peers, "--local-http", "", "--local-grpc", "127.0.0.1:0"]
    made = run(["init", "--org", "acme.example", "--dir", str(directory), *where])
    if made.code:
        raise RuntimeError(made.err)
    return Home("gateway", directory, peers)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--record-bytes", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=20_000, help="records/s of the steady part")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the steady part")
    parser.add_argument("--cores", type=int, default=1, help="that the application and the gateway share")
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="on the kind of disk that is meant")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    cores = set(sorted(os.sched_getaffinity(0))[: given.cores])
    os.sched_setaffinity(0, cores)  # the gateway inherits it
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="bench-local-") as place:
        home = organization(Path(place, "acme"))
        with home.start() as gateway:
            gateway.wait_for(lambda: '"ready": true' in gateway.output, "ready line")
            home.mesh("topic", "create", TOPIC, "--partitions", str(PARTITIONS))
            rows = asyncio.run(measure(home, gateway, given))
    print(f"{given.record_bytes} bytes a record, {len(cores)} core(s) for both processes", HEADING, sep="\n")
    print(*(row.line() for row in rows), sep="\n")
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
