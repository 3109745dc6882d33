"""Each mirror copies a filled topic once, in processes of its own that start for it, and is measured while it does.

The gateways run, and then the topic is subscribed to; MirrorMaker begins with its start. What comes before the first
record counts for neither. The copy is counted to the last record, and is gone afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from bench import gateways, mirrormaker
from bench.border import crossed_bytes
from bench.cpu import cpu_of, peak_rss_bytes
from bench.ground import Ground
from bench.options import Workload
from bench.peer import Peer, over_tls
from bench.process import Child
from bench.report import Measured
from bench.watch import Mark, Watcher
from mesh.cluster_errors import TopicAbsent

MESH, TUNED, AS_IT_COMES = "mesh", "mirrormaker2", "mirrormaker2 as it comes"
LOG_CHARACTERS = 3000
"""Of each gateway, told where a copy fails."""
SLOWEST_MB_PER_S, SLOWEST_RECORDS_PER_S = 10, 20_000


class Mirror(Protocol):
    @property
    def name(self) -> str: ...

    async def copy(self, topic: str, workload: Workload, run: str, settings: Sequence[str] = ()) -> Measured:
        """Copies all of `topic`; `run` is a name that no other run has. Raises RuntimeError where it does not."""


def timeout_s(workload: Workload) -> float:
    return 180 + workload.size_gb * 1000 / SLOWEST_MB_PER_S + workload.records / SLOWEST_RECORDS_PER_S


@dataclass(frozen=True, slots=True)
class Mesh:
    """Two gateways that are paired, `topics` shared; between two runs nobody has subscribed to any."""

    ground: Ground
    homes: Sequence[gateways.Home]
    configuration: Mapping[str, str]

    @property
    def name(self) -> str:
        return MESH

    @classmethod
    async def make(cls, ground: Ground, topics: Sequence[str]) -> Mesh:
        addresses = {gateways.EXPORTER: ground.a.address, gateways.IMPORTER: ground.b.address}
        homes = await asyncio.to_thread(gateways.made, ground.directory, addresses, topics)
        return cls(ground, homes, {key: value for home in homes for key, value in home.configuration().items()})

    async def copy(self, topic: str, workload: Workload, run: str, settings: Sequence[str] = ()) -> Measured:
        copy = f"{run}.{topic}"
        started = mark(self.ground)
        with gateways.Pair(self.homes, settings=settings) as pair:
            await asyncio.to_thread(pair.wait_ready)
            processes = {**pair.processes, **self.ground.brokers}
            watcher = Watcher(self.ground.destination, copy, workload.expected, processes, pair.check)
            try:
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(watcher.run(timeout_s(workload)))
                    group.create_task(asyncio.to_thread(gateways.subscribe, self.homes, topic, copy, run))
            except ExceptionGroup as failed:
                logs = [f"{child.name}:\n{child.output[-LOG_CHARACTERS:]}" for child in pair.children]
                raise RuntimeError("\n".join([*map(str, failed.exceptions), *logs])) from failed
            memory = {name: peak_rss_bytes(pid) for name, pid in pair.processes.items()}
            crossed = crossed_bytes(int(home.listen.rpartition(":")[2]) for home in self.homes)
            await asyncio.to_thread(gateways.unsubscribe, self.homes, run)
        await done(self.ground, copy, workload)
        configuration = {**self.configuration, **dict(each.split("=", 1) for each in settings)}
        return Measured(self.name, [*pair.processes], started, watching.result(), memory, configuration, crossed)


@dataclass(frozen=True, slots=True)
class MirrorMaker:
    """Tuned or as it comes; a run is an alias, so that it begins anew."""

    ground: Ground
    is_tuned: bool

    @property
    def name(self) -> str:
        return TUNED if self.is_tuned else AS_IT_COMES

    @property
    def jvm(self) -> tuple[str, ...]:
        return mirrormaker.JVM if self.is_tuned else mirrormaker.JVM_AS_IT_COMES

    def settings(self, topic: str, workload: Workload, run: str) -> dict[str, str]:
        tasks = min(mirrormaker.TASKS, workload.partitions) if self.is_tuned else 0
        source, destination = over_tls(self.ground.a), self.ground.b.address
        return Peer(run, topic, source, destination, tasks, str(workload.codec)).settings()

    def start(self, settings: dict[str, str]) -> Child:
        return mirrormaker.start(self.ground.directory, settings, self.jvm)

    async def copy(self, topic: str, workload: Workload, run: str, settings: Sequence[str] = ()) -> Measured:
        assert not settings, "for gateways"
        chosen = self.settings(topic, workload, run)
        started = mark(self.ground)
        with self.start(chosen) as child:
            processes = {child.name: child.pid, **self.ground.brokers}
            watcher = Watcher(self.ground.destination, f"{run}.{topic}", workload.expected, processes, child.check)
            watched = await watcher.run(timeout_s(workload))
            memory = {child.name: peak_rss_bytes(child.pid)}
            crossed = crossed_bytes([self.ground.a.ports["TLS"]])
            if self.is_tuned:
                mirrormaker.check_log(child.output, workload)
        await done(self.ground, f"{run}.{topic}", workload, mirrormaker.internal_topics(run))
        configuration = mirrormaker.shown(chosen, self.jvm)
        return Measured(self.name, [child.name], started, watched, memory, configuration, crossed)


def mark(ground: Ground) -> Mark:
    """The moment before anything of a mirror runs."""
    return Mark(time.monotonic(), 0, cpu_of(ground.brokers))


async def done(ground: Ground, copy: str, workload: Workload, others: Sequence[str] = ()) -> None:
    """The copy is complete, and is no longer needed."""
    await ground.check_complete(copy, workload.expected)
    for topic in (copy, *others):
        with suppress(TopicAbsent):
            await ground.destination.topics.delete(topic)
