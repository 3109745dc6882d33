"""Start to first record: processes that were stopped start again, with a little to copy that was written meanwhile.

Everything they need is there: topics, subscriptions, groups, the other's state. It is what a restart costs, for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from bench import gateways
from bench.ground import Ground
from bench.load import fill
from bench.mirrors import MESH, TUNED, Mesh, MirrorMaker, mark
from bench.options import Workload
from bench.watch import Watcher, ends
from mesh.batch.header import Codec

TOPIC = "first-record"
LOAD = Workload(0.001, 1000, 256_000, Codec.LZ4, 4)
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds, and CPU seconds of everything that mirrors, from the start of the processes to the first record."""

    seconds: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class _Running:
    processes: Mapping[str, int]
    check: Callable[[], None]


async def first_records(mesh: Mesh, peer: MirrorMaker | None, repeat: int) -> dict[str, list[Start]]:
    """Of each side, as often as asked for. The topic `TOPIC` is there, empty, and in the gateways' share."""
    ground = mesh.ground
    gauge = _Gauge(ground, f"mesh.{TOPIC}", f"first.{TOPIC}")
    await gauge.write()
    await gauge.prepare(mesh, peer)
    found: dict[str, list[Start]] = {side: [] for side in ([MESH, TUNED] if peer else [MESH])}
    for _ in range(repeat):
        await gauge.write()
        found[MESH].append(await gauge.time(lambda: _gateways(mesh), gauge.mesh_copy))
        if peer:
            found[TUNED].append(await gauge.time(lambda: _peer(peer), gauge.peer_copy))
    with gateways.Pair(mesh.homes) as pair:
        await asyncio.to_thread(pair.wait_ready)
        await asyncio.to_thread(gateways.unsubscribe, mesh.homes, TOPIC)
    await ground.check_complete(gauge.mesh_copy, gauge.expected)
    return found


@contextmanager
def _gateways(mesh: Mesh) -> Iterator[_Running]:
    with gateways.Pair(mesh.homes) as pair:
        yield _Running(pair.processes, pair.check)


@contextmanager
def _peer(peer: MirrorMaker) -> Iterator[_Running]:
    with peer.start(peer.settings(TOPIC, LOAD, "first")) as child:
        yield _Running({child.name: child.pid}, child.check)


@dataclass
class _Gauge:
    """Two copies of one topic, which grows between starts."""

    ground: Ground
    mesh_copy: str
    peer_copy: str
    written: int = 0
    """By partition."""

    @property
    def expected(self) -> list[int]:
        return [self.written] * LOAD.partitions

    async def write(self) -> None:
        await asyncio.to_thread(fill, self.ground.a.address, TOPIC, LOAD, self.written)
        self.written += LOAD.records_per_partition

    async def prepare(self, mesh: Mesh, peer: MirrorMaker | None) -> None:
        """Both have copied what there is, and stop."""
        with gateways.Pair(mesh.homes) as pair:
            await asyncio.to_thread(pair.wait_ready)
            await asyncio.to_thread(gateways.subscribe, mesh.homes, TOPIC, self.mesh_copy, TOPIC)
            await self._watch(_Running(pair.processes, pair.check), self.mesh_copy, 0)
        if peer:
            await self.time(lambda: _peer(peer), self.peer_copy)

    async def time(self, start: Callable[[], AbstractContextManager[_Running]], copy: str) -> Start:
        """Started, until its first new record is there; it ends when all are."""
        held = sum(await ends(self.ground.destination, copy, LOAD.partitions))
        began = mark(self.ground)
        with start() as running:
            at_s, cpu_s = await self._watch(running, copy, held)
        return Start(round(at_s - began.at_s, 2), round(cpu_s, 2))

    async def _watch(self, running: _Running, copy: str, held: int) -> tuple[float, float]:
        watcher = Watcher(self.ground.destination, copy, self.expected, running.processes, running.check, held)
        first = (await watcher.run(PATIENCE_S)).first
        return first.at_s, sum(first.cpu.values())
