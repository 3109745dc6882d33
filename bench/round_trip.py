"""What a round trip between the two companies costs in throughput: catch-up with 0, 20 and 100 ms added.

    python -m bench.round_trip [--size-gb 0.5] [--turns 3] [--lanes 1,4] [--only mesh|mm2] [--quick] [--json FILE]

Everything between the companies goes through one proxy: the link of the two gateways, whoever dials, and MirrorMaker's
connections to its source broker, which tells it by its advertised listener to come back through the proxy. The proxy
delays each way by half of the round trip and limits nothing: what it passes without a mirror, and the CPU that it took,
are told. It acknowledges like a neighbour, so TCP's own windows see no round trip; those of HTTP/2, of the link and of
Kafka's protocol do. The gateways run all the time, with their defaults; each catch-up is a new subscription, through
connections that are as old as their round trip. MirrorMaker is tuned as for catch-up, reads in plain text here, and is
started anew for each row, so that a part of its CPU is its compiler's. 1 KB records in 256 KB lz4 batches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from bench import mirrormaker
from bench.cpu import cpu_of
from bench.goal import verdict
from bench.lanes_load import Content, fill_lanes
from bench.peer import Peer
from bench.round_trip_figures import MESH, PEER, Trip, table, targets, trip
from bench.round_trip_wire import Wire, tried
from bench.versions import versions
from bench.watch import Watcher
from gateway.kafka import KafkaConfig, open_kafka
from mesh.ports import Cluster
from tests.lab.admin import status
from tests.support.brokers import Broker, BrokerConfig
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.ports import free_ports

SHARE, ORG = "trips", "acme.example"
ROUND_TRIPS_MS = (0, 20, 100)
BATCH_RECORDS = 252
BROKER_HEAP_MB = 1024
BROKER_READY_S = 240.0
SLOWEST_MB_PER_S = 2
LARGE = {"message.max.bytes": "10485760"}


class FrontedBroker(Broker):
    """Who dials its listener behind the wire is told to come back through the wire."""

    def __init__(self, config: BrokerConfig, port: int | None = None) -> None:
        super().__init__(replace(config, behind=True), port)
        self.front = f"127.0.0.1:{free_ports(1)[0]}"


@dataclass(frozen=True, slots=True)
class Options:
    size_gb: float
    turns: int
    lanes: tuple[int, ...]
    only: str
    json: Path | None

    def content(self, lanes: int) -> Content:
        batches = max(1, round(self.size_gb * 1e9 / lanes / (BATCH_RECORDS * 1000)))
        return Content(batches, BATCH_RECORDS)


@dataclass
class Bench:
    options: Options
    directory: Path
    a: FrontedBroker
    b: Broker
    source: Cluster
    destination: Cluster
    acme: Organization
    globex: Organization
    wire: Wire
    trips: list[Trip] = field(default_factory=list)
    configurations: dict[str, dict[str, str]] = field(default_factory=dict)

    async def run(self) -> None:
        for lanes in self.options.lanes:
            say(f"filling {topic_of(lanes)}: {self.options.content(lanes).size_gb * lanes:.2f} GB")
            await self.source.topics.create(topic_of(lanes), lanes, {})
            await fill_lanes(self.source, topic_of(lanes), lanes, self.options.content(lanes))
        if self.options.only != "mm2":
            await self.mesh()
        if self.options.only != "mesh":
            await self.mirrormaker()

    async def mesh(self) -> None:
        say("mesh: starting both gateways")
        self.acme.start()
        self.globex.start()
        self.acme.pair(self.globex)
        self.acme.share(SHARE, self.globex, *map(topic_of, self.options.lanes))
        self.configurations[MESH] = {"every setting": "its default"}
        await self.subscribed(self.options.lanes[-1], 0, -1)  # what happens only once is not measured
        for lanes in self.options.lanes:
            for turn in range(self.options.turns):
                for ms in ROUND_TRIPS_MS:
                    self.keep(await self.subscribed(lanes, ms, turn))

    async def subscribed(self, lanes: int, ms: int, turn: int) -> Trip:
        name = f"l{lanes}-t{turn + 1}-{ms}ms"
        self.wire.round_trip(ms / 1000)
        await asyncio.to_thread(wait_for, "the link", lambda: self.is_linked)
        wanted = ["subscribe", f"{ORG}/{SHARE}", "--topic", f"{topic_of(lanes)}=acme.{name}", "--name", name]
        # the link may be the one that is just being reset
        await asyncio.to_thread(wait_for, "the subscription", lambda: self.globex.try_mesh(*wanted).code == 0)
        pids = {each.org: each.process.pid for each in (self.acme, self.globex) if each.process is not None}
        found = await self.watched(MESH, f"acme.{name}", lanes, ms, turn, pids, lambda: None)
        await asyncio.to_thread(self.globex.mesh, "subscription", "delete", name)
        await self.forget(f"acme.{name}")
        return found

    @property
    def is_linked(self) -> bool:
        return all(status(each)["links"] for each in (self.acme, self.globex))

    async def mirrormaker(self) -> None:
        for lanes in self.options.lanes:
            for ms in ROUND_TRIPS_MS:
                self.wire.round_trip(ms / 1000)
                source = {"bootstrap.servers": self.a.front}
                peer = Peer(f"M{lanes}x{ms}", topic_of(lanes), source, self.b.address, lanes, "lz4")
                self.configurations[PEER] = mirrormaker.shown(peer.settings())
                directory = self.directory / peer.alias
                directory.mkdir()
                with mirrormaker.start(directory, peer.settings()) as child:
                    self.keep(await self.watched(PEER, peer.copy, lanes, ms, 0, {child.name: child.pid}, child.check))
                await self.forget(peer.copy)

    async def watched(
        self,
        mirror: str,
        copy: str,
        lanes: int,
        ms: int,
        turn: int,
        processes: Mapping[str, int],
        check: Callable[[], None],
    ) -> Trip:
        content = self.options.content(lanes)
        every = {**processes, "wire": self.wire.pid}
        watcher = Watcher(self.destination, copy, [content.records] * lanes, every, check)
        watched = await watcher.run(120 + self.options.size_gb * 1000 / SLOWEST_MB_PER_S)
        return trip(mirror, lanes, ms, turn, watched, content.record_bytes, processes)

    async def forget(self, topic: str) -> None:
        """The disk does not hold all copies of a long run."""
        admin = AdminClient({"bootstrap.servers": self.b.address, "log_level": 2})
        await asyncio.to_thread(admin.delete_topics([topic])[topic].result, 30)

    def keep(self, found: Trip) -> None:
        self.trips.append(found)
        say(
            f"{found.mirror}, {found.lanes} lanes, {found.round_trip_ms} ms: {found.mb_per_s} MB/s, second half "
            f"{found.second_half_mb_per_s}, {found.seconds} s, cores {found.mirror_cores}, wire {found.wire_cores}"
        )


@dataclass(frozen=True, slots=True)
class WireAlone:
    """What the proxy passes without a mirror, by round trip: more than any mirror does, or it would be what limits."""

    mb_per_s: dict[int, float]
    cpu_s_per_gb: float


def try_wire(wire: Wire, port: int, sink: socket.socket) -> WireAlone:
    rates: dict[int, float] = {}
    before = cpu_of({"wire": wire.pid})["wire"]
    for ms in ROUND_TRIPS_MS:
        wire.round_trip(ms / 1000)
        rates[ms] = round(tried(port, sink), 1)
    used = cpu_of({"wire": wire.pid})["wire"] - before
    return WireAlone(rates, round(used / (0.4 * len(ROUND_TRIPS_MS)), 2))


async def bench(options: Options) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mesh-trips-")))
        say("starting two brokers")
        config = BrokerConfig(BROKER_HEAP_MB, warm=True, properties=LARGE)
        a = stack.enter_context(FrontedBroker.start(config, timeout_s=BROKER_READY_S))
        b = stack.enter_context(Broker.start(config, timeout_s=BROKER_READY_S))
        acme = Organization.init(directory / "acme", ORG, "--kafka", a.address)
        globex = Organization.init(directory / "globex", "globex.example", "--kafka", b.address)
        sink = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ports = free_ports(3)
        upstreams = (acme.peers, globex.peers, f"127.0.0.1:{sink.getsockname()[1]}")
        ways = {**dict(zip(ports, upstreams, strict=True)), int(a.front.rpartition(":")[2]): a.behind_address}
        wire = stack.enter_context(Wire(ways))
        for port, each in zip(ports, (acme, globex), strict=False):
            each.advertised = (f"127.0.0.1:{port}",)
        alone = await asyncio.to_thread(try_wire, wire, ports[2], sink)
        say(f"the wire alone: {alone.mb_per_s} MB/s by ms, {alone.cpu_s_per_gb} CPU-s/GB")
        source = await stack.enter_async_context(open_kafka(KafkaConfig(bootstrap=(a.address,))))
        destination = await stack.enter_async_context(open_kafka(KafkaConfig(bootstrap=(b.address,))))
        stack.enter_context(stop_all(acme, globex))
        made = Bench(options, directory, a, b, source, destination, acme, globex, wire)
        began_s = time.monotonic()
        await made.run()
        say(f"took {time.monotonic() - began_s:.0f} s")
        return document(options, made, alone)


def document(options: Options, made: Bench, alone: WireAlone) -> dict[str, Any]:
    return {
        "targets": [each.told() for each in targets(made.trips)],
        "size_gb": options.size_gb,
        "turns": options.turns,
        "wire alone": asdict(alone),
        "versions": versions(),
        "load average at the end": round(os.getloadavg()[0], 1),
        "configurations": made.configurations,
        "trips": [asdict(each) for each in made.trips],
    }


def topic_of(lanes: int) -> str:
    return f"trip-{lanes}"


def parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gb", type=float, default=0.0)
    parser.add_argument("--turns", type=int, default=0)
    parser.add_argument("--lanes", default="1,4")
    parser.add_argument("--only", choices=["mesh", "mm2"], default="")
    parser.add_argument("--quick", action="store_true", help="a fifth of the size, one turn, the mesh alone")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    size_gb, turns, only = (0.2, 1, "mesh") if given.quick else (1.0, 3, "")
    lanes = tuple(int(number) for number in given.lanes.split(","))
    return Options(given.size_gb or size_gb, given.turns or turns, lanes, given.only or only, given.json)


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        found = asyncio.run(bench(options))
    except (RuntimeError, AssertionError) as error:
        say(f"round trip: failed: {error}")
        return 1
    trips = [Trip(**each) for each in found["trips"]]
    say(f"\n{table(trips)}\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    say(verdict("round trip", targets(trips)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
