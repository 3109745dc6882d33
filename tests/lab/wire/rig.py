"""Two gateways on the embedded log with proxies between them, and records that go in all the while.

    with rig(directory, seed) as made:          # paired, subscribed, flowing
        made.stage.link.reset()
        made.finish()                           # the flow ends, all arrives, both logs are equal record by record

For short tests of one fault, judged by a comparison of both logs, read past the gateways with a decoder of their own; a
campaign has the verifier.
"""

from __future__ import annotations

import io
import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.lab.admin import NoAnswer, send
from tests.lab.collect import RunDirectory, Where
from tests.lab.logs import EmbeddedLogs
from tests.lab.stage import Counters, Fault, LanePlace, Site, Stage
from tests.lab.wire.between import Between
from tests.support.organization import Organization, stop_all, wait_for
from tests.verifier.batches import Batch, read_batches

TOPIC, COPY, SHARE = "departures", "acme.departures", "flights"
EAGER = ("timing.heartbeat_s=0.5", "timing.reconnect_initial_s=0.05", "timing.reconnect_max_s=0.3")
"""A link that is dead is given up in 1.5 s, and a peer that is back is found at once."""
PAUSE_S = 0.02


@dataclass
class Feeder:
    """Appends handfuls of numbered records to the source until `stop`."""

    organization: Organization
    seed: int
    enter: Callable[[], None] = lambda: None
    """Called first in its thread."""
    appended: int = 0
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(30)

    def _run(self) -> None:
        self.enter()
        chance = Random(f"{self.seed}/feeder")
        while not self._stop.wait(PAUSE_S):
            lines = [self._line(chance) for _ in range(chance.randrange(1, 20))]
            try:
                body = "".join(json.dumps(line) + "\n" for line in lines).encode()
                send(self.organization, "POST", f"/v1/topics/{TOPIC}/records", body, "application/x-ndjson")
            except NoAnswer as error:
                self.failures.append(str(error))
                return

    def fill(self, records: int, value_bytes: int) -> None:
        """So many records of random bytes, at once; while it does not flow."""
        chance = Random(f"{self.seed}/{self.appended}")
        lines = []
        for _ in range(records):
            self.appended += 1
            value = b64encode(chance.randbytes(value_bytes)).decode()
            lines.append(json.dumps({"value_b64": value, "partition": 0}) + "\n")
        send(self.organization, "POST", f"/v1/topics/{TOPIC}/records", "".join(lines).encode(), "application/x-ndjson")

    def _line(self, chance: Random) -> dict[str, object]:
        self.appended += 1
        value = chance.randbytes(chance.choice([10, 100, 2000])).hex()
        return {"key": f"key-{self.appended % 97}", "value": f"{self.appended}:{value}", "partition": 0}


@dataclass
class Rig:
    stage: Stage
    feeder: Feeder

    @property
    def link(self) -> Between:
        assert self.stage.link is not None
        return self.stage.link

    def suffer(self, fault: Fault, *, expects: bool = True) -> None:
        """The fault strikes and is healed, and records arrive again; it must have met what it aims at."""
        try:
            fault.strike(self.stage)
        finally:
            fault.heal(self.stage)
        self.stage.wait_progress()
        missed = self.stage.counters.never(fault.aims)
        assert not (expects and missed), f"{fault.row} has not met {missed}: {self.link.counters()}"

    def finish(self) -> int:
        """Everything arrives, and both logs hold the same records at the same offsets: how many."""
        self.feeder.stop()
        assert not self.feeder.failures, self.feeder.failures
        source, copy = self.stage.logs
        there, here = Where("acme", TOPIC, 0), Where("globex", COPY, 0)
        end = source.ends([there])[0]
        wait_for(f"all {end} records to arrive", lambda: copy.ends([here])[0] >= end, 120)
        sent, found = told(source.batches(there)), told(copy.batches(here))
        assert len(sent) == self.feeder.appended
        assert found == sent
        return len(found)


def told(batches: bytes) -> list[object]:
    """Offset and content of each record."""
    found: list[object] = []
    for batch in read_batches(io.BytesIO(batches)):
        assert isinstance(batch, Batch), batch
        found += [(each.offset, each.timestamp_ms, each.key, each.value, each.headers) for each in batch.records]
    return found


def mirrored(directory: Path, seed: int, acme: Organization, globex: Organization) -> Stage:
    """Starts both; the second subscribes to a topic of the first."""
    acme.start()
    globex.start()
    acme.mesh("topic", "create", TOPIC)
    acme.pair(globex)
    acme.share(SHARE, globex, TOPIC)
    globex.mesh("subscribe", f"{acme.org}/{SHARE}", "--topic", f"{TOPIC}={COPY}")
    lane = LanePlace("departures-0", SHARE, Where("acme", TOPIC, 0), Where("globex", COPY, 0))
    source, copy = Site("acme", acme), Site("globex", globex)
    logs = (EmbeddedLogs(source.data), EmbeddedLogs(copy.data))
    run = RunDirectory(directory / "run")
    return Stage(seed, Random(seed), run, Counters(), source, copy, logs, [lane], directory)


@contextmanager
def rig(directory: Path, seed: int, *settings: str, flows: bool = True, eager: bool = True) -> Iterator[Rig]:
    """`flows`: records go in from the start; `eager`: with `EAGER`, otherwise with the defaults."""
    print(f"seed {seed}")
    acme = Organization.init(directory / "acme", "acme.example")
    globex = Organization.init(directory / "globex", "globex.example")
    for each in (acme, globex):
        each.settings = (*(EAGER if eager else ()), *settings)
    link = Between.put(acme, globex, seed)
    feeder = Feeder(acme, seed)
    try:
        with stop_all(acme, globex):
            stage = mirrored(directory, seed, acme, globex)
            stage.link = link
            if flows:
                feeder.start()
                stage.wait_progress(0)
            yield Rig(stage, feeder)
    finally:
        feeder.stop()
        link.close()
