"""Catch-up of a pre-filled topic from broker A to broker B: two gateways against a tuned MirrorMaker 2, in one run.

    python -m bench.catchup [--size-gb 1] [--record-bytes 1000] [--batch-bytes 256000] [--codec lz4] [--partitions 4]
                            [--compressible 1] [--only mesh|mm2] [--json FILE] [--profile]

The gateways (mutual TLS between them, brokers beside them in plain text) go first, on brokers that are colder; then
MirrorMaker, over TLS to broker A. Both are started with everything set up and the topic filled. CPU is user and system
time of every process that mirrors; brokers are shown beside it. Exit code 1 where a copy is not complete.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench import gateways, mirrormaker
from bench.cpu import cpu_by_thread, cpu_of, peak_rss_bytes
from bench.ground import HEAP_MB, Ground, ground
from bench.load import fill
from bench.options import Options, parse
from bench.peer import Peer, over_tls
from bench.report import Measured, Result, closing_line, configurations, result, table
from bench.versions import versions
from bench.watch import Mark, Watcher

TOPIC, MESH_COPY, MM2_COPY = "bench", "acme.bench", f"{mirrormaker.ALIAS}.bench"
SLOWEST_MB_PER_S = 5
QUIET_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class Bench:
    options: Options
    ground: Ground

    @property
    def timeout_s(self) -> float:
        return 60 + self.options.size_gb * 1000 / SLOWEST_MB_PER_S

    async def run(self) -> dict[str, Result]:
        options = self.options
        await self.ground.source.topics.create(TOPIC, options.partitions, {})
        homes: list[gateways.Home] = []
        if options.only != "mm2":
            addresses = {gateways.EXPORTER: self.ground.a.address, gateways.IMPORTER: self.ground.b.address}
            homes = await asyncio.to_thread(gateways.set_up, self.ground.directory, addresses, TOPIC, MESH_COPY)
        say(f"filling: {options.text}")
        await asyncio.to_thread(fill, self.ground.a.address, TOPIC, options)
        measured = []
        if homes:
            measured.append(await self.mesh(homes))
        if options.only != "mesh":
            measured.append(await self.mirrormaker())
        return {each.name: result(each, options.record_bytes) for each in measured}

    async def mesh(self, homes: list[gateways.Home]) -> Measured:
        say("mesh: starting both gateways")
        started = self.start_mark()
        with gateways.Pair(homes, profile=self.options.profile) as pair:
            watcher = Watcher(
                self.ground.destination,
                MESH_COPY,
                self.options.expected,
                {**pair.processes, **self.ground.brokers},
                pair.check,
            )
            watched = await watcher.run(self.timeout_s)
            memory = {name: peak_rss_bytes(pid) for name, pid in pair.processes.items()}
            threads = {name: cpu_by_thread(pid) for name, pid in pair.processes.items()}
        await self.ground.check_complete(MESH_COPY, self.options.expected)
        if self.options.profile:
            show_profiles(homes, threads)
        configuration = {key: value for home in homes for key, value in home.configuration().items()}
        return Measured("mesh", [*pair.processes], started, watched, memory, configuration)

    async def mirrormaker(self) -> Measured:
        say("mirrormaker2: starting")
        a, b, tasks = self.ground.a, self.ground.b, min(mirrormaker.TASKS, self.options.partitions)
        peer = Peer(mirrormaker.ALIAS, TOPIC, over_tls(a), b.address, tasks, str(self.options.codec))
        settings = peer.settings()
        started = self.start_mark()
        with mirrormaker.start(self.ground.directory, settings) as child:
            processes = {child.name: child.pid, **self.ground.brokers}
            watched = await Watcher(
                self.ground.destination, MM2_COPY, self.options.expected, processes, child.check
            ).run(self.timeout_s)
            memory = {child.name: peak_rss_bytes(child.pid)}
            mirrormaker.check_log(child.output, self.options)
        await self.ground.check_complete(MM2_COPY, self.options.expected)
        return Measured(child.name, [child.name], started, watched, memory, mirrormaker.shown(settings))

    def start_mark(self) -> Mark:
        return Mark(time.monotonic(), 0, cpu_of(self.ground.brokers))


def show_profiles(homes: list[gateways.Home], threads: dict[str, dict[str, float]]) -> None:
    for home in homes:
        say(f"\n{home.role}, CPU-s by thread: " + ", ".join(f"{k} {v:.2f}" for k, v in threads[home.role].items()))
        say(home.profile_file.read_text())


def say(text: str) -> None:
    print(text, flush=True)


async def bench(options: Options) -> dict[str, Result]:
    say("starting two brokers")
    async with ground() as made:
        return await Bench(options, made).run()


def document(options: Options, results: dict[str, Result], known: dict[str, str], load: float) -> dict[str, Any]:
    return {
        "workload": options.text,
        "load average before": round(load, 1),
        "brokers": f"two, heap {HEAP_MB} MB each, one topic copy each",
        "versions": known,
        "results": [asdict(each) for each in results.values()],
        "line": closing_line(results),
    }


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments, __doc__ or "")
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        say(f"the machine is busy already (load average {load:.1f}): only ratios of one run mean anything")
    try:
        results = asyncio.run(bench(options))
    except RuntimeError as error:
        say(f"bench: failed: {error}")
        return 1
    known = versions()
    say("\nversions: " + ", ".join(f"{name} {value}" for name, value in known.items()))
    say(configurations([*results.values()]))
    say(f"\n{options.text}\n{table([*results.values()])}\n")
    if options.json:
        options.json.write_text(json.dumps(document(options, results, known, load), indent=1) + "\n")
    say(closing_line(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
