"""1, 4 and 16 subscribers of one share, all at the tip of a Kafka source; and one of them that stops taking anything.

Each subscriber is a gateway of its own company, on the embedded log. The exporter reads its broker through a tap, which
says how many fetches it sends and how many bytes it reads: where one fetch serves all, neither grows with subscribers.
A steady trickle shows that; a burst shows what delivering costs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from confluent_kafka import Producer

from bench.fetch_tap import Counts
from bench.growth_figures import EXPORTER, IMPORTERS, PeersRow, StoppedRow
from bench.growth_lanes import less
from bench.growth_site import Site, copied, cpu_of_all, rss_bytes, wait_running
from bench.lanes_load import Content, fill_lanes
from gateway.kafka import KafkaConfig, open_kafka
from tests.support.organization import Organization, wait_for

TOPIC = "tip"
PARTITIONS = 4
STEADY_PER_S = 500
RECORD_BYTES = 1000
LINGER_MS = 5
BATCH_RECORDS = 252
ARRIVE_S = 300.0
PAUSE_S = 0.1


@dataclass
class Peers:
    """`run` adds subscribers up to a number and measures them; `stop_one` measures those that are there."""

    site: Site
    burst_gb: float
    steady_s: float
    say: Callable[[str], None]
    acme: Organization
    subscribers: list[Organization] = field(default_factory=list)
    written: int = 0
    """Records at the source."""
    last_burst_s: float = 0.0

    @classmethod
    def begin(cls, site: Site, burst_gb: float, steady_s: float, say: Callable[[str], None]) -> Peers:
        site.create(TOPIC, PARTITIONS)
        acme = replace(site.acme, dialled=(site.a.front,))
        acme.start()
        acme.mesh("share", "create", TOPIC, "--topic", TOPIC)
        return cls(site, burst_gb, steady_s, say, acme)

    @property
    def all(self) -> list[Organization]:
        return [self.acme, *self.subscribers]

    def kill(self) -> None:
        for each in self.all:
            each.kill()

    def run(self, peers: int) -> PeersRow:
        self.say(f"{peers} subscribers: starting")
        while len(self.subscribers) < peers:
            self._add(f"peer{len(self.subscribers) + 1}.example")
        self._arrived(self.subscribers)
        self._burst(self.burst_gb / 8)  # what happens only once is not measured
        steady_cpu, steady, steady_read = self._measured(self._steady)
        burst_cpu, burst_s, burst_read = self._measured(lambda: self._burst(self.burst_gb))
        self.last_burst_s = burst_s
        return PeersRow(
            peers=peers,
            steady_seconds=self.steady_s,
            steady_records=int(steady),
            steady_bytes=int(steady) * RECORD_BYTES,
            steady_read_bytes=steady_read.answered_bytes,
            steady_fetches=steady_read.fetches,
            steady_cpu_s=steady_cpu,
            burst_gb=self._content(self.burst_gb).size_gb * PARTITIONS,
            burst_s=round(burst_s, 2),
            burst_read_bytes=burst_read.answered_bytes,
            burst_fetches=burst_read.fetches,
            burst_cpu_s=burst_cpu,
            exporter_rss_bytes=rss_bytes(self.acme),
        )

    def stop_one(self) -> StoppedRow:
        """Of those that are there, the last one stands still while a burst is written."""
        self.say(f"one of {len(self.subscribers)} subscribers stops")
        *others, stopped = self.subscribers
        before, peak = rss_bytes(self.acme), 0

        def look() -> None:
            nonlocal peak
            peak = max(peak, rss_bytes(self.acme))

        stopped.freeze()
        try:
            others_s = self._burst(self.burst_gb, others, look)
        finally:
            stopped.thaw()
        woken_s = time.monotonic()
        self._arrived([stopped])
        return StoppedRow(
            peers=len(self.subscribers),
            size_gb=self._content(self.burst_gb).size_gb * PARTITIONS,
            others_s=round(others_s, 2),
            before_s=round(self.last_burst_s, 2),
            exporter_growth_bytes=max(0, peak - before),
            caught_up_s=round(time.monotonic() - woken_s, 2),
        )

    # --- loads

    def _measured(self, load: Callable[[], float]) -> tuple[dict[str, float], float, Counts]:
        """CPU of the exporter and of all importers, what the load answers, and what was read from the source."""
        counts, before = self.site.tap.counts(), cpu_of_all(self.all)
        found = load()
        used = less(cpu_of_all(self.all), before)
        ours = used.pop(self.acme.org)
        return {EXPORTER: ours, IMPORTERS: round(sum(used.values()), 3)}, found, self.site.tap.counts().since(counts)

    def _steady(self) -> float:
        """`STEADY_PER_S` for a while; how many records."""
        producer = Producer({"bootstrap.servers": self.site.a.address, "linger.ms": LINGER_MS, "log_level": 2})
        value, began_s, sent = os.urandom(RECORD_BYTES), time.monotonic(), 0
        while (passed_s := time.monotonic() - began_s) < self.steady_s:
            for _ in range(int(passed_s * STEADY_PER_S) - sent):
                producer.produce(TOPIC, value, partition=sent % PARTITIONS)
                sent += 1
            producer.poll(0)
            time.sleep(0.002)
        producer.flush(30)
        self.written += sent
        self._arrived(self.subscribers)
        return sent

    def _burst(
        self, size_gb: float, subscribers: list[Organization] | None = None, look: Callable[[], None] = lambda: None
    ) -> float:
        """So much at once; seconds until it has arrived."""
        content = self._content(size_gb)
        began_s = time.monotonic()
        asyncio.run(_fill(self.site.a.address, content))
        self.written += content.records * PARTITIONS
        self._arrived(self.subscribers if subscribers is None else subscribers, look)
        return time.monotonic() - began_s

    def _content(self, size_gb: float) -> Content:
        batches = max(1, round(size_gb * 1e9 / PARTITIONS / (BATCH_RECORDS * RECORD_BYTES)))
        return Content(batches, BATCH_RECORDS, RECORD_BYTES)

    def _arrived(self, subscribers: list[Organization], look: Callable[[], None] = lambda: None) -> None:
        waiting = list(subscribers)

        def arrived() -> bool:
            look()
            waiting[:] = [each for each in waiting if copied(each) < self.written]
            return not waiting

        wait_for("every record to arrive", arrived, ARRIVE_S, PAUSE_S)

    def _add(self, name: str) -> None:
        made = Organization.init(self.site.directory / name, name)
        made.start()
        self.subscribers.append(made)
        self.acme.pair(made)
        self.acme.mesh("grant", "create", TOPIC, "--to", made.org)
        made.mesh("subscribe", f"{self.acme.org}/{TOPIC}", "--topic", f"{TOPIC}={TOPIC}")
        wait_running(made, PARTITIONS)


async def _fill(address: str, content: Content) -> None:
    async with open_kafka(KafkaConfig(bootstrap=(address,))) as cluster:
        await fill_lanes(cluster, TOPIC, PARTITIONS, content)
