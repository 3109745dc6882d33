"""Copies of what was durable at a kill: of the copy's log and of the stored breaks of its lanes, made at once.

On the embedded log the files are copied while the gateway is dead, and read when there is time. On Kafka log and state
are read from the broker; that may go on while the gateway starts, since it appends nothing before it is ready.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.lab.collect import RunDirectory
from tests.lab.logs import LOG_FILE, EmbeddedLogs, Logs, stored_of
from tests.lab.stage import LanePlace, Site
from tests.lab.watching import Watcher

LANES_OF_A_COPY = 2


@dataclass
class DurableCopies:
    """At most `most` in a run, spread over `expected` kills; each of some lanes, all of them in turn."""

    directory: RunDirectory
    lanes: Sequence[LanePlace]
    logs: Logs
    watcher: Watcher
    scratch: Path
    chance: Random
    most: int
    expected: int
    made: int = 0
    _seen: int = 0
    _work: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "durable copies"))
    _under_way: list[Future[None]] = field(default_factory=list)

    def make(self, site: Site) -> None:
        """`site`'s gateway has just died; its lanes' copies lie in its cluster."""
        self._seen += 1
        if self.made >= self.most or self.chance.random() > self.most / max(self.expected, 1):
            return
        at_s = time.monotonic()
        lanes = [self.lanes[(self.made * LANES_OF_A_COPY + at) % len(self.lanes)] for at in range(LANES_OF_A_COPY)]
        self.made += 1
        logs = self.logs if site.broker is not None else self._copied(site)
        self._under_way.append(self._work.submit(self._read, logs, lanes, at_s))

    def finish(self) -> None:
        """Raises what reading a copy raised; a broker that was down, too, has no copy."""
        for each in self._under_way:
            each.result()
        self._work.shutdown()

    def _copied(self, site: Site) -> Logs:
        there = self.scratch / f"durable-{self.made}"
        there.mkdir(parents=True)
        for path in site.data.glob(f"{LOG_FILE}*"):
            if not path.name.endswith("-shm"):  # an index of the other, in memory of processes that are gone
                shutil.copy(path, there)
        return EmbeddedLogs(there)

    def _read(self, logs: Logs, lanes: Sequence[LanePlace], at_s: float) -> None:
        for lane in lanes:
            try:
                stored = stored_of(logs.state(lane.subscription, lane.source.topic, lane.source.partition))
                if stored is None:
                    continue
                batches, (end,) = logs.batches(lane.copy), logs.ends([lane.copy])
            except OSError:
                if isinstance(logs, EmbeddedLogs):
                    raise
                return
            self.watcher.producer(lane.name, *stored.producer, "stored")
            self.directory.note_durable(
                lane.name, batches, stored.lines, stored.start, stored.position, end, at_s=at_s
            )  # fmt: skip
        if isinstance(logs, EmbeddedLogs):
            shutil.rmtree(logs.data)
