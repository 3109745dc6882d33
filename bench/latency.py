"""Steady state: how long a record takes from a producer at the source to a consumer at the destination, by its rate.

    python -m bench.latency [--rates 500,5000,20000] [--seconds 30] [--only mesh|mm2] [--tuned] [--quick] [--json FILE]

The same brokers, load and consumer for each mirror, one mirror after the other: two gateways with their defaults and
mutual TLS between them, and MirrorMaker 2 as it comes, which reads over TLS (`--tuned`: tuned for throughput, too).
Latency goes from the producer's call of `produce` to the moment at which a stock read_committed consumer returns the
record, by one clock of one process; it contains the produce to the source and the fetch from the destination, and the
rows "no mirror" say what these two are alone: the same load, with the consumer at the source. Each rate has a warm-up
that is left out. 1 KB records, not compressed; linger 0 at 500 records/s, 5 ms (the default of Kafka's own producer)
above. A rate that the machine could not keep is marked so. CPU is of each process, in cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import gateways, mirrormaker
from bench.goal import verdict
from bench.latency_figures import DIRECT, MESH, PEER, TUNED, Row, row, table, targets
from bench.latency_load import Listener, Load, brisk_threads
from bench.peer import Peer, over_tls
from bench.process import Child
from bench.versions import versions
from tests.support.brokers import Broker, BrokerConfig, TlsFiles
from tests.support.stock import Load as Topic
from tests.support.stock import create_topics
from tests.support.tls import Authority

PARTITIONS = 4
BROKER_HEAP_MB = 1024
BROKER_READY_S = 240.0
FIRST_WARM_S = 15.0
FIRST_WARM_RATE = 5_000
LINGER_ABOVE = 1_000
LINGER_MS = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    rates: tuple[int, ...]
    seconds: float
    warm_s: float
    first_warm_s: float
    mirrors: tuple[str, ...]
    json: Path | None


@dataclass(frozen=True, slots=True)
class Bench:
    options: Options
    directory: Path
    a: Broker
    b: Broker

    @property
    def brokers(self) -> dict[str, int]:
        return {"broker A": self.a.pid, "broker B": self.b.pid}

    def run(self) -> tuple[list[Row], dict[str, dict[str, str]]]:
        """The rows, and the configuration of each mirror."""
        rows: list[Row] = []
        configurations: dict[str, dict[str, str]] = {}
        running = {MESH: self.mesh, PEER: self.as_it_comes, TUNED: self.tuned, DIRECT: self.direct}
        for mirror in self.options.mirrors:
            say(f"{mirror}: starting")
            topic = mirror.replace(" ", "-")
            create_topics(self.a.address, [Topic(topic, PARTITIONS, "none", 0, (), 0)])
            with running[mirror](topic) as run:
                configurations[mirror] = run.configuration
                rows += self.measure(mirror, topic, run)
        return rows, configurations

    def measure(self, mirror: str, topic: str, run: Running) -> Iterator[Row]:
        listener = Listener(run.destination, run.copy, PARTITIONS)
        try:
            processes = {**{child.name: child.pid for child in run.children}, **self.brokers}
            load = Load(self.a.address, topic, PARTITIONS, listener, run.check, processes)
            load.until_heard()
            load.run(FIRST_WARM_RATE, self.options.first_warm_s, LINGER_MS)
            for rate in self.options.rates:
                linger_ms = LINGER_MS if rate > LINGER_ABOVE else 0.0
                load.run(rate, self.options.warm_s, linger_ms)
                window = load.run(rate, self.options.seconds, linger_ms)
                if not window.heard:
                    raise RuntimeError(f"{mirror}: nothing of {window.sent:,} records has arrived")
                measured = row(mirror, window)
                say(table([measured]))
                yield measured
        finally:
            listener.close()

    @contextmanager
    def mesh(self, topic: str) -> Iterator[Running]:
        addresses = {gateways.EXPORTER: self.a.address, gateways.IMPORTER: self.b.address}
        copy = f"acme.{topic}"
        homes = gateways.made(self.directory, addresses, [topic], {topic: copy})
        with gateways.Pair(homes) as pair:
            pair.wait_ready()
            configuration = {key: value for home in homes for key, value in home.configuration().items()}
            yield Running(self.b.address, copy, pair.children, configuration)

    def as_it_comes(self, topic: str) -> AbstractContextManager[Running]:
        return self.peer(topic, is_tuned=False)

    def tuned(self, topic: str) -> AbstractContextManager[Running]:
        return self.peer(topic, is_tuned=True)

    @contextmanager
    def peer(self, topic: str, *, is_tuned: bool) -> Iterator[Running]:
        jvm = mirrormaker.JVM if is_tuned else mirrormaker.JVM_AS_IT_COMES
        alias, tuned_for = ("tuned", PARTITIONS) if is_tuned else ("A", 0)
        peer = Peer(alias, topic, over_tls(self.a), self.b.address, tuned_for)
        directory = self.directory / topic
        directory.mkdir()
        with mirrormaker.start(directory, peer.settings(), jvm) as child:
            yield Running(self.b.address, peer.copy, [child], mirrormaker.shown(peer.settings(), jvm))

    @contextmanager
    def direct(self, topic: str) -> Iterator[Running]:
        yield Running(self.a.address, topic, [], {})


@dataclass(frozen=True, slots=True)
class Running:
    """A mirror that was started: where its copy is to be heard, and what it consists of."""

    destination: str
    copy: str
    children: Sequence[Child]
    configuration: dict[str, str]

    def check(self) -> None:
        for child in self.children:
            child.check()


def bench(options: Options) -> tuple[list[Row], dict[str, dict[str, str]]]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mesh-latency-")))
        authority = Authority(directory)
        tls = TlsFiles(authority.identity("broker"), authority.ca_file)
        say("starting two brokers")
        a = stack.enter_context(
            Broker.start(BrokerConfig(BROKER_HEAP_MB, warm=True, tls=tls), timeout_s=BROKER_READY_S)
        )
        b = stack.enter_context(Broker.start(BrokerConfig(BROKER_HEAP_MB, warm=True), timeout_s=BROKER_READY_S))
        stack.enter_context(brisk_threads())
        return Bench(options, directory, a, b).run()


def document(options: Options, rows: Sequence[Row], configurations: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {
        "targets": [each.told() for each in targets(rows)],
        "latency": "from the call of produce at the source to receipt by a stock consumer at the destination, ms",
        "seconds of each rate": options.seconds,
        "warm-up, seconds": {"before everything": options.first_warm_s, "before each rate": options.warm_s},
        "partitions": PARTITIONS,
        "brokers": f"two, heap {BROKER_HEAP_MB} MB each",
        "versions": versions(),
        "load average at the end": round(os.getloadavg()[0], 1),
        "configurations": configurations,
        "rows": [asdict(each) for each in rows],
    }


def parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--only", choices=["mesh", "mm2"], default="")
    parser.add_argument("--tuned", action="store_true", help="MirrorMaker tuned for throughput as well")
    parser.add_argument("--quick", action="store_true", help="500 and 5,000 records/s, some seconds each")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    rates = given.rates or ("500,5000" if given.quick else "500,5000,20000")
    mirrors = {"": (MESH, PEER, DIRECT), "mesh": (MESH,), "mm2": (PEER,)}[given.only]
    return Options(
        rates=tuple(int(rate) for rate in rates.split(",")),
        seconds=given.seconds or (8.0 if given.quick else 30.0),
        warm_s=2.0 if given.quick else 5.0,
        first_warm_s=5.0 if given.quick else FIRST_WARM_S,
        mirrors=(*mirrors, TUNED) if given.tuned else mirrors,
        json=given.json,
    )


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        rows, configurations = bench(options)
    except RuntimeError as error:
        say(f"latency: failed: {error}")
        return 1
    for mirror, configuration in configurations.items():
        say(f"{mirror}: " + ", ".join(f"{key}={value}" for key, value in configuration.items()))
    say(f"\n{table(rows)}\n")
    if options.json:
        options.json.write_text(json.dumps(document(options, rows, configurations), indent=1) + "\n")
    say(verdict("latency", targets(rows)))
    return 1 if any(each.missing or each.twice for each in rows if each.mirror == MESH) else 0


if __name__ == "__main__":
    sys.exit(main())
