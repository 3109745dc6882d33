"""What the link itself costs: two processes, mutual TLS between them, frames one way, nothing behind them.

    python -m bench.link [--mb 600] [--rounds 3] [--variants session,stream] [--json FILE]

`stream` is gRPC alone: the same bytes object written again and again, and read. `session` is all of ours above it:
segments of a lane, frames, seals, credit and acknowledgements. Any variant may be followed by changes, to compare in
one run: `stream:grpc.http2.max_frame_size=1048576`, `session:frame_kb=2048`, `stream:GRPC_EXPERIMENTS=tcp_rcv_lowat`,
`session:round_trip_ms=100+lanes=1` (through a proxy that costs CPU of its own, which is not told).
Variants take turns; told are the medians: CPU-seconds of each side per GB (10^9 bytes), after the link has opened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.cpu import peak_rss_bytes
from bench.versions import versions

SIDES = ("exporter", "importer")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Variant:
    """What is run, and what is changed of it: gRPC's options, variables of its environment, and our own settings."""

    text: str
    kind: str
    options: tuple[tuple[str, int], ...]
    environment: dict[str, str]
    settings: dict[str, int]

    @classmethod
    def parse(cls, text: str) -> Variant:
        kind, _, rest = text.partition(":")
        changes = [each.partition("=")[::2] for each in rest.split("+") if each]
        return cls(
            text,
            kind,
            tuple((name, int(value)) for name, value in changes if name.startswith("grpc.")),
            {name: value for name, value in changes if name.isupper()},
            {name: int(value) for name, value in changes if not name.startswith("grpc.") and not name.isupper()},
        )

    def get(self, name: str, default: int) -> int:
        return self.settings.get(name, default)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run."""

    exporter_s: float
    importer_s: float
    mb_per_s: float
    exporter_mb: float
    """The most resident memory."""
    importer_mb: float
    threads: dict[str, dict[str, float]]
    """CPU-seconds by side and thread; all of them, the start included."""


async def measured(variant: Variant, mb: int, directory: Path) -> Cost:
    told: dict[str, dict[str, Any]] = {}
    port = 0
    children = []
    way = ExitStack()
    for side in SIDES:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.link", "--side", side, "--port", str(port)),
            *("--directory", str(directory), "--mb", str(mb), "--variants", variant.text),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **variant.environment},
        )
        children.append(child)
        assert child.stdout is not None
        if not port:
            port = int(await child.stdout.readline())
            if round_trip_ms := variant.get("round_trip_ms", 0):
                from tests.lab.wire.proxy import Proxy

                proxy = way.enter_context(Proxy(f"127.0.0.1:{port}"))
                proxy.weather(latency_s=round_trip_ms / 2000)
                port = int(proxy.address.rpartition(":")[2])
    for side, child in zip(SIDES, children, strict=True):
        output, _ = await child.communicate()
        told[side] = json.loads(output)
    await asyncio.to_thread(way.close)
    one, other = (told[side] for side in SIDES)
    gb = other["bytes"] / 1e9
    return Cost(
        round(one["cpu_s"] / gb, 3),
        round(other["cpu_s"] / gb, 3),
        round(other["bytes"] / 1e6 / other["wall_s"], 1),
        round(one["rss"] / 1e6, 1),
        round(other["rss"] / 1e6, 1),
        {side: told[side]["threads"] for side in SIDES},
    )


def middle(costs: Sequence[Cost]) -> Cost:
    names = ("exporter_s", "importer_s", "mb_per_s", "exporter_mb", "importer_mb")
    return Cost(**{name: median(getattr(each, name) for each in costs) for name in names}, threads=costs[-1].threads)


async def compare(texts: Sequence[str], mb: int, rounds: int) -> dict[str, list[Cost]]:
    found: dict[str, list[Cost]] = {text: [] for text in texts}
    with tempfile.TemporaryDirectory(prefix="link-") as name:
        from bench.link_side import write_identities

        write_identities(Path(name))
        for _ in range(rounds):
            for text in texts:
                found[text].append(await measured(Variant.parse(text), mb, Path(name)))
    return found


def lines(found: dict[str, list[Cost]]) -> list[str]:
    told = ["exporter  importer     both    MB/s   RSS MB      variant (CPU-s per GB)"]
    for text, costs in found.items():
        cost = middle(costs)
        both = [each.exporter_s + each.importer_s for each in costs]
        told.append(
            f"{cost.exporter_s:8.2f}  {cost.importer_s:8.2f}  {median(both):7.2f}  {cost.mb_per_s:6.0f}"
            f"   {cost.exporter_mb:4.0f} {cost.importer_mb:4.0f}   {text}  ({min(both):.2f} to {max(both):.2f})"
        )
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.link", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mb", type=int, default=600, help="MiB sent in each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", default="session,stream", help="separated by commas")
    parser.add_argument("--threads", action="store_true", help="tell the CPU of each thread, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        return run_side(options)
    found = asyncio.run(compare(options.variants.split(","), options.mb, options.rounds))
    if options.json:
        raw = {text: [asdict(each) for each in costs] for text, costs in found.items()}
        options.json.write_text(json.dumps({"mb": options.mb, "versions": versions(), "runs": raw}, indent=1) + "\n")
    print("\n".join(lines(found)))
    if options.threads:
        for text, costs in found.items():
            print(text, json.dumps(costs[-1].threads))
    return 0


def run_side(options: argparse.Namespace) -> int:
    """A child: everything of gRPC is imported only now, by the environment that we were given."""
    import uvloop

    from bench.cpu import cpu_by_thread
    from bench.link_side import SideRun

    side = SideRun(options.side, Variant.parse(options.variants), options.directory, options.mb * MIB)
    uvloop.run(side.run(options.port))
    told = {
        "bytes": side.moved_bytes,
        "cpu_s": side.cpu_s,
        "wall_s": side.wall_s,
        "rss": peak_rss_bytes(os.getpid()),
        "threads": cpu_by_thread(os.getpid()),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
