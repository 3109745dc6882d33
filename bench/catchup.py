"""Catch-up of a pre-filled topic from broker A to broker B: two gateways against a tuned MirrorMaker 2, in one run.

    python -m bench.catchup [--size-gb 1] [--record-bytes 1000] [--batch-bytes 256000] [--codec lz4] [--partitions 4]
                            [--only mesh|mm2] [--json FILE] [--profile]

The gateways (mutual TLS between them, brokers beside them in plain text) go first, on brokers that are colder; then
MirrorMaker, over TLS to broker A. Both are started with everything set up and the topic filled. CPU is user and system
time of every process that mirrors; brokers are shown beside it. Exit code 1 where a copy is not complete.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import gateways, mirrormaker
from bench.cpu import cpu_by_thread, cpu_of, peak_rss_bytes
from bench.load import fill
from bench.options import Options, parse
from bench.report import Measured, Result, closing_line, configurations, result, table
from bench.versions import versions
from bench.watch import Mark, Watcher, ends
from gateway.kafka import KafkaConfig, open_kafka
from mesh.ports import Cluster
from tests.support.brokers import Broker, BrokerConfig, TlsFiles
from tests.support.tls import Authority

TOPIC, MESH_COPY, MM2_COPY = "bench", "acme.bench", f"{mirrormaker.ALIAS}.bench"
LARGE = {"message.max.bytes": "10485760"}
BROKER_HEAP_MB = 1024
SLOWEST_MB_PER_S = 5
QUIET_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class Bench:
    """Two brokers and a directory; A is filled, copies go to B."""

    options: Options
    directory: Path
    a: Broker
    b: Broker
    source: Cluster
    destination: Cluster

    @property
    def timeout_s(self) -> float:
        return 60 + self.options.size_gb * 1000 / SLOWEST_MB_PER_S

    @property
    def brokers(self) -> dict[str, int]:
        return {"broker A": self.a.pid, "broker B": self.b.pid}

    @property
    def expected(self) -> list[int]:
        return [self.options.records_per_partition] * self.options.partitions

    async def run(self) -> dict[str, Result]:
        options = self.options
        await self.source.topics.create(TOPIC, options.partitions, {})
        homes: list[gateways.Home] = []
        if options.only != "mm2":
            addresses = {gateways.EXPORTER: self.a.address, gateways.IMPORTER: self.b.address}
            homes = await asyncio.to_thread(gateways.set_up, self.directory, addresses, TOPIC, MESH_COPY)
        say(f"filling: {options.workload}")
        await fill(self.source, TOPIC, options)
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
                self.destination, MESH_COPY, self.expected, {**pair.processes, **self.brokers}, pair.check
            )
            watched = await watcher.run(self.timeout_s)
            memory = {name: peak_rss_bytes(pid) for name, pid in pair.processes.items()}
            threads = {name: cpu_by_thread(pid) for name, pid in pair.processes.items()}
        await self.check_complete(MESH_COPY)
        if self.options.profile:
            show_profiles(homes, threads)
        configuration = {key: value for home in homes for key, value in home.configuration().items()}
        return Measured("mesh", [*pair.processes], started, watched, memory, configuration)

    async def mirrormaker(self) -> Measured:
        say("mirrormaker2: starting")
        settings = mirrormaker.properties(self.options, self.a, self.b, TOPIC)
        started = self.start_mark()
        with mirrormaker.start(self.directory, settings) as child:
            processes = {child.name: child.pid, **self.brokers}
            watched = await Watcher(self.destination, MM2_COPY, self.expected, processes, child.check).run(
                self.timeout_s
            )
            memory = {child.name: peak_rss_bytes(child.pid)}
            mirrormaker.check_log(child.output, self.options)
        await self.check_complete(MM2_COPY)
        return Measured(child.name, [child.name], started, watched, memory, mirrormaker.shown(settings))

    def start_mark(self) -> Mark:
        return Mark(time.monotonic(), 0, cpu_of(self.brokers))

    async def check_complete(self, topic: str) -> None:
        """Exactly what is expected, also once nobody writes any more."""
        held = await ends(self.destination, topic, self.options.partitions)
        if held != self.expected:
            raise RuntimeError(f"{topic} holds {held}, expected were {self.expected}")


def show_profiles(homes: list[gateways.Home], threads: dict[str, dict[str, float]]) -> None:
    for home in homes:
        say(f"\n{home.role}, CPU-s by thread: " + ", ".join(f"{k} {v:.2f}" for k, v in threads[home.role].items()))
        say(home.profile_file.read_text())


def say(text: str) -> None:
    print(text, flush=True)


async def bench(options: Options) -> dict[str, Result]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mesh-bench-")))
        authority = Authority(directory)
        tls = TlsFiles(authority.identity("broker"), authority.ca_file)
        say("starting two brokers")
        a = stack.enter_context(Broker.start(BrokerConfig(BROKER_HEAP_MB, warm=True, tls=tls, properties=LARGE)))
        b = stack.enter_context(Broker.start(BrokerConfig(BROKER_HEAP_MB, warm=True, properties=LARGE)))
        source = await stack.enter_async_context(open_kafka(KafkaConfig(bootstrap=(a.address,))))
        destination = await stack.enter_async_context(open_kafka(KafkaConfig(bootstrap=(b.address,))))
        return await Bench(options, directory, a, b, source, destination).run()


def document(options: Options, results: dict[str, Result], known: dict[str, str], load: float) -> dict[str, Any]:
    return {
        "workload": options.workload,
        "load average before": round(load, 1),
        "brokers": f"two, heap {BROKER_HEAP_MB} MB each, one topic copy each",
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
    say(f"\n{options.workload}\n{table([*results.values()])}\n")
    if options.json:
        options.json.write_text(json.dumps(document(options, results, known, load), indent=1) + "\n")
    say(closing_line(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
