"""The same bytes through 1, 10, 100, 1,000 lanes, and what lanes cost that have nothing to do.

For each number of lanes there is a subscription to an empty topic, and the gateways are started three times: to open
the lanes first, to find them again with nothing to copy, and to copy what was written meanwhile. The difference between
the last two is what copying costs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.cpu import cpu_of, peak_rss_bytes
from bench.growth_figures import LanesRow
from bench.growth_site import Ends, Site, cpu_of_all, pid, rss_bytes, wait_running
from bench.lanes_load import Content, fill_lanes
from gateway.kafka import KafkaConfig, open_kafka
from tests.support.organization import Organization, stop_all

BATCH_RECORDS = 252
SETTLE_S = 3.0
SLOWEST_MB_PER_S = 2


@dataclass(frozen=True, slots=True)
class Lanes:
    site: Site
    size_gb: float
    idle_s: float
    say: Callable[[str], None]

    def run(self, lanes: int) -> LanesRow:
        site, topic, copy = self.site, f"lanes-{lanes}", f"acme.lanes-{lanes}"
        self.say(f"{lanes:,} lanes: opening")
        site.create(topic, lanes)
        acme, globex = both = site.both
        brokers = {"broker A": site.a.pid, "broker B": site.b.pid}
        with stop_all(*both):
            opening_s, opening = self._open(acme, globex, topic, copy, lanes)
            restart = self._restart(acme, globex, lanes)
            time.sleep(SETTLE_S)
            idle_rss = {each.org: rss_bytes(each) for each in both}
            before, brokers_before = cpu_of_all(both), cpu_of(brokers)
            time.sleep(self.idle_s)
            idle, brokers_idle = less(cpu_of_all(both), before), less(cpu_of(brokers), brokers_before)
            _stop(both)
            content = self._content(lanes)
            self.say(f"{lanes:,} lanes: {content.size_gb * lanes:.2f} GB; idle RSS {idle_rss}, idle CPU-s {idle}")
            asyncio.run(fill(site.a.address, topic, lanes, content))
            brokers_before = cpu_of(brokers)
            took_s = self._catch_up(both, copy, lanes, content)
            row = LanesRow(
                lanes=lanes,
                size_gb=content.size_gb * lanes,
                opening_s=opening_s,
                opening_cpu_s=opening,
                restart_cpu_s=restart,
                idle_seconds=self.idle_s,
                idle_cpu_s=idle,
                idle_broker_cpu_s=brokers_idle,
                idle_rss_bytes=idle_rss,
                catch_up_s=took_s,
                catch_up_cpu_s=cpu_of_all(both),
                catch_up_broker_cpu_s=less(cpu_of(brokers), brokers_before),
                peak_rss_bytes={each.org: peak_rss_bytes(pid(each)) for each in both},
            )
            globex.mesh("subscription", "delete", topic)
            _stop(both)
        site.delete(topic, copy)
        return row

    def _open(
        self, acme: Organization, globex: Organization, topic: str, copy: str, lanes: int
    ) -> tuple[float, dict[str, float]]:
        acme.start()
        globex.start()
        self.site.share(topic)
        began_s = time.monotonic()
        globex.mesh("subscribe", f"{acme.org}/{topic}", "--topic", f"{topic}={copy}")
        wait_running(globex, lanes)
        return time.monotonic() - began_s, cpu_of_all([acme, globex])

    def _restart(self, acme: Organization, globex: Organization, lanes: int) -> dict[str, float]:
        _stop([acme, globex])
        for each in (acme, globex):
            each.launch()
        for each in (acme, globex):
            each.wait_ready()
        wait_running(globex, lanes)
        return cpu_of_all([acme, globex])

    def _content(self, lanes: int) -> Content:
        batches = max(1, round(self.size_gb * 1e9 / lanes / (BATCH_RECORDS * 1000)))
        return Content(batches, BATCH_RECORDS)

    def _catch_up(self, both: list[Organization], copy: str, lanes: int, content: Content) -> float:
        ends = Ends(self.site.b.address, copy, lanes)
        began_s = time.monotonic()
        for each in both:
            each.launch()
        ends.wait(content.records * lanes, 120 + self.size_gb * 1000 / SLOWEST_MB_PER_S)
        return time.monotonic() - began_s


async def fill(address: str, topic: str, lanes: int, content: Content) -> None:
    async with open_kafka(KafkaConfig(bootstrap=(address,))) as cluster:
        await fill_lanes(cluster, topic, lanes, content)


def _stop(organizations: list[Organization]) -> None:
    for each in reversed(organizations):
        each.stop()


def less(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: round(after[name] - before[name], 3) for name in after}
