"""A day's worth of records through one lane in a minute: does memory stay flat?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.growth_figures import DayRow, Sample
from bench.growth_lanes import fill
from bench.growth_site import Ends, Site, cpu_of_all, rss_bytes, wait_running
from bench.lanes_load import Content
from tests.support.organization import stop_all

TOPIC, COPY = "day", "acme.day"
RECORD_BYTES = 100
BATCH_RECORDS = 143
"""16 KB."""
PAUSE_S = 0.25
SLOWEST_PER_S = 20_000


@dataclass(frozen=True, slots=True)
class Day:
    site: Site
    records: int
    say: Callable[[str], None]

    def run(self) -> DayRow:
        content = Content(max(1, self.records // BATCH_RECORDS), BATCH_RECORDS, RECORD_BYTES)
        site = self.site
        site.create(TOPIC, 1)
        self.say(f"{content.records:,} records of {RECORD_BYTES} bytes: writing them")
        asyncio.run(fill(site.a.address, TOPIC, 1, content))
        acme, globex = both = site.both
        with stop_all(*both):
            acme.start()
            globex.start()
            site.share(TOPIC)
            before, began_s = cpu_of_all(both), time.monotonic()
            globex.mesh("subscribe", f"{acme.org}/{TOPIC}", "--topic", f"{TOPIC}={COPY}")
            wait_running(globex, 1)
            samples: list[Sample] = []
            ends = Ends(site.b.address, COPY, 1)
            while not samples or samples[-1].records < content.records:
                samples.append(Sample(ends.held(), {each.org: rss_bytes(each) for each in both}))
                if time.monotonic() - began_s > 60 + content.records / SLOWEST_PER_S:
                    raise RuntimeError(f"{samples[-1].records:,} of {content.records:,} records are there")
                time.sleep(PAUSE_S)
            took_s, after = time.monotonic() - began_s, cpu_of_all(both)
            globex.mesh("subscription", "delete", TOPIC)
        site.delete(TOPIC, COPY)
        used = {name: round(after[name] - before[name], 2) for name in after}
        return DayRow(content.records, RECORD_BYTES, round(took_s, 1), used, samples)
