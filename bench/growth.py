"""What grows with lanes, with subscribers and with time: cost, memory, reads of the source.

    python -m bench.growth [--only lanes,peers,day] [--lanes 1,10,100,1000] [--peers 1,4,16] [--size-gb 1]
                           [--records 10000000] [--quick] [--json FILE]

- `lanes`: the same bytes through so many lanes, and what lanes cost while nothing comes
- `peers`: so many subscribers of one share at the tip, and one of them that stops (back-pressure)
- `day`: 10^7 small records, as many as 115 a second make in 24 hours, through one lane; memory all the while

Two Kafka brokers; gateways with their defaults and mutual TLS. CPU is user and system time of each gateway. Cost per GB
is what a catch-up takes beyond a start of the same lanes that has nothing to copy: what a start costs stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.goal import verdict
from bench.growth_day import Day
from bench.growth_figures import Growth
from bench.growth_lanes import Lanes
from bench.growth_peers import Peers
from bench.growth_site import BROKER_HEAP_MB, Site, site
from bench.versions import versions

PARTS = ("lanes", "peers", "day")


@dataclass(frozen=True, slots=True)
class Options:
    parts: tuple[str, ...]
    lanes: tuple[int, ...]
    peers: tuple[int, ...]
    size_gb: float
    burst_gb: float
    idle_s: float
    steady_s: float
    records: int
    json: Path | None


def measure(options: Options, stand: Site, found: Growth) -> None:
    if "lanes" in options.parts:
        for lanes in options.lanes:
            found.lanes.append(Lanes(stand, options.size_gb, options.idle_s, say).run(lanes))
    if "peers" in options.parts:
        peers = Peers.begin(stand, options.burst_gb, options.steady_s, say)
        try:
            for number in options.peers:
                found.peers.append(peers.run(number))
            if len(peers.subscribers) > 1:
                found.stopped = peers.stop_one()
        finally:
            peers.kill()
    if "day" in options.parts:
        found.day = Day(stand, options.records, say).run()


def document(options: Options, found: Growth) -> dict[str, Any]:
    return {
        "targets": [each.told() for each in found.targets()],
        "options": {key: value for key, value in asdict(options).items() if key != "json"},
        "brokers": f"two, heap {BROKER_HEAP_MB} MB each",
        "gateways": "every setting at its default",
        "versions": versions(),
        "load average at the end": round(os.getloadavg()[0], 1),
        **asdict(found),
    }


def parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--lanes", default="")
    parser.add_argument("--peers", default="")
    parser.add_argument("--size-gb", type=float, default=0.0)
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="1 and 100 lanes, 1 and 4 peers, a tenth of the bytes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    quick = given.quick
    size_gb = given.size_gb or (0.1 if quick else 1.0)
    return Options(
        parts=tuple(part for part in PARTS if part in given.only.split(",")),
        lanes=_numbers(given.lanes or ("1,100" if quick else "1,10,100,1000")),
        peers=_numbers(given.peers or ("1,4" if quick else "1,4,16")),
        size_gb=size_gb,
        burst_gb=size_gb * 0.3,
        idle_s=5.0 if quick else 20.0,
        steady_s=4.0 if quick else 15.0,
        records=given.records or (1_000_000 if quick else 10_000_000),
        json=given.json,
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(number) for number in text.split(",")))


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options, found, began_s = parse(arguments), Growth(), time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="mesh-growth-") as directory, site(Path(directory)) as stand:
            say("brokers run")
            measure(options, stand, found)
    except (RuntimeError, AssertionError) as error:
        say(f"{found.tables()}\ngrowth: failed: {error}")
        return 1
    say(f"\n{found.tables()}\n\ntook {time.monotonic() - began_s:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(document(options, found), indent=1) + "\n")
    say(verdict("growth", found.targets()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
