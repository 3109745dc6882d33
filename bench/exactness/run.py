"""The run: fill, mirror, move groups, kill, lose records, make a topic anew; all mirrors on the same topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.exactness.judge import Copy, Entry, Move, compare, move
from bench.exactness.mesh import Mesh
from bench.exactness.mirrormaker import CONFIGURATIONS, DEFAULT_INTERVAL_S, MirrorMaker
from bench.exactness.topics import (
    GROUPS,
    KILLED,
    KILLED_RECORDS,
    MOVED,
    OVERRUN,
    PART,
    RECREATED,
    SIGN,
    TRANSACTIONS,
    Cluster,
    Group,
    commit_groups,
    fill,
)  # fmt: skip
from tests.support.brokers import Broker, BrokerConfig
from tests.support.organization import stop_all, wait_for

PATIENCE_S = 240.0
STILL_S = 4.0
"""A copy is complete when it has as many offsets as there are records and has not grown for so long."""
KILL_AT = 0.4
RECORDS_PER_S, STEP = 10_000, 2_500
"""Of the traffic in which mirrors are killed: slow enough that those which commit each second have done so."""
QUICK_CLEANER = {"log.cleaner.backoff.ms": "200"}

Mirror = Mesh | MirrorMaker


@dataclass
class Found:
    """What was measured of one mirror."""

    moves: dict[Group, Move] = field(default_factory=dict)
    transactions: Copy | None = None
    kill: Copy | None = None
    copied_at_kill: int = 0
    overrun: list[str] = field(default_factory=list)
    overrun_missing: int = 0
    recreated: list[str] = field(default_factory=list)
    recreated_missing: int = 0


@dataclass
class Run:
    source: Cluster
    destination: Cluster
    mesh: Mesh
    peers: list[MirrorMaker]
    say: Callable[[str], None]
    found: dict[str, Found] = field(default_factory=dict)

    @classmethod
    def build(cls, stack: ExitStack, directory: Path, only: Sequence[str], say: Callable[[str], None]) -> Run:
        say("starting two brokers")
        config = BrokerConfig(heap_mb=768, properties=QUICK_CLEANER)
        a, b = (stack.enter_context(Broker.start(config)) for _ in range(2))
        mesh = Mesh.make(directory, a.address, b.address)
        stack.enter_context(stop_all(mesh.acme, mesh.globex))
        peers = [MirrorMaker(name, directory, a.address, b.address) for name in CONFIGURATIONS if name in only]
        for peer in peers:
            stack.callback(peer.stop)
        source, destination = (Cluster(each.address, each.directory / "data") for each in (a, b))
        return cls(source, destination, mesh, peers, say)

    @property
    def mirrors(self) -> list[Mirror]:
        return [self.mesh, *self.peers]

    def measure(self) -> dict[str, Found]:
        self.found = {mirror.name: Found() for mirror in self.mirrors}
        self.say("filling the topics")
        fill(self.source)
        logs = {topic: self.source.read(topic) for topic in MOVED}
        positions = commit_groups(self.source, logs)
        self.say("starting the mirrors")
        for peer in self.peers:
            peer.start()
        self.mesh.begin()
        self._copied({topic: len(log) for topic, log in logs.items()} | {OVERRUN: PART, RECREATED: PART})
        self._move(logs, positions)
        self._kill()
        self._lose()
        return self.found

    # --- moving groups

    def _move(self, logs: dict[str, list[Entry]], positions: dict[Group, int]) -> None:
        if self.peers:
            wait_s = 2 * DEFAULT_INTERVAL_S + 5
            self.say(f"all is copied; {wait_s} s for checkpoints at their default interval")
            time.sleep(wait_s)
        groups = {group.name: group.topic for group in GROUPS}
        given = {mirror.name: mirror.positions(groups) for mirror in self.mirrors}
        for mirror in self.mirrors:
            copies = {topic: self.destination.read(mirror.copy(topic)) for topic in MOVED}
            found = self.found[mirror.name]
            found.transactions = compare(logs[TRANSACTIONS], copies[TRANSACTIONS])
            for group, committed in positions.items():
                position = given[mirror.name].get(group.name)
                found.moves[group] = move(logs[group.topic], copies[group.topic], committed, position)

    # --- killing

    def _kill(self) -> None:
        """Each mirror is killed when it has copied a part, while the source is still being written."""
        self.say("killing the mirrors while they copy")
        waiting = {mirror.name: mirror for mirror in self.mirrors}
        least, began = int(KILL_AT * KILLED_RECORDS), time.monotonic()
        for first in range(0, KILLED_RECORDS, STEP):
            time.sleep(max(0.0, began + first / RECORDS_PER_S - time.monotonic()))
            self.source.write(KILLED, range(first, first + STEP))
            for name, mirror in list(waiting.items()):
                self._strike(name, mirror, least, waiting)
        for name, mirror in list(waiting.items()):
            wait_for(f"{name} to copy a part", lambda m=mirror, n=name: self._strike(n, m, least, waiting), PATIENCE_S)  # type: ignore[misc]
        for mirror in self.mirrors:
            mirror.start()
        self._copied({KILLED: KILLED_RECORDS})
        log = self.source.read(KILLED)
        for mirror in self.mirrors:
            self.found[mirror.name].kill = compare(log, self.destination.read(mirror.copy(KILLED)))

    def _strike(self, name: str, mirror: Mirror, least: int, waiting: dict[str, Mirror]) -> bool:
        copied = self.destination.end(mirror.copy(KILLED))
        if copied < least:
            return False
        mirror.kill()
        self.found[name].copied_at_kill = copied
        del waiting[name]
        return True

    # --- losing

    def _lose(self) -> None:
        """While the mirrors are away, records go that they have not read, and a topic is made anew."""
        self.say("deleting records and a topic behind the mirrors' backs")
        for mirror in self.mirrors:
            mirror.stop()
        before = {mirror.name: self.destination.end(mirror.copy(SIGN)) for mirror in self.mirrors}
        self.source.write(OVERRUN, range(PART, 3 * PART))
        self.source.cut(OVERRUN, 2 * PART)
        self.source.recreate(RECREATED)
        self.source.write(RECREATED, range(PART * 3 // 2), b"anew")
        for mirror in self.mirrors:
            mirror.start()
        self.source.write(SIGN, range(100))
        for mirror in self.mirrors:
            alive = lambda m=mirror: self.destination.end(m.copy(SIGN)) > before[m.name]  # noqa: E731
            wait_for(f"{mirror.name} to work again", alive, PATIENCE_S)
        self._still([OVERRUN, RECREATED])
        lost = self.source.read(RECREATED)
        for mirror in self.mirrors:
            found = self.found[mirror.name]
            found.overrun, found.recreated = mirror.complaints(OVERRUN), mirror.complaints(RECREATED)
            copied = {each.value for each in self.destination.read(mirror.copy(RECREATED))}
            found.recreated_missing = sum(each.value not in copied for each in lost)
            held = {int(each.value.split()[0]) for each in self.destination.read(mirror.copy(OVERRUN))}
            found.overrun_missing = len(set(range(3 * PART)) - held)

    # --- waiting

    def _copied(self, records: dict[str, int]) -> None:
        """Every mirror has at least so many offsets of each topic and adds no more."""
        for topic, count in records.items():
            for mirror in self.mirrors:
                enough = lambda m=mirror, t=topic, c=count: self.destination.end(m.copy(t)) >= c  # noqa: E731
                wait_for(f"{mirror.name} to copy {topic}", enough, PATIENCE_S)
        self._still(list(records))

    def _still(self, topics: list[str]) -> None:
        copies = [mirror.copy(topic) for mirror in self.mirrors for topic in topics]
        before: list[int] = []
        since = time.monotonic()

        def quiet() -> bool:
            nonlocal before, since
            ends = [self.destination.end(each) for each in copies]
            if ends != before:
                before, since = ends, time.monotonic()
            return time.monotonic() - since > STILL_S

        wait_for("the copies to stop growing", quiet, PATIENCE_S)
