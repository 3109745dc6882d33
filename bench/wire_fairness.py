"""Whether one partner or one partition that is in trouble, or greedy, makes the others wait; on the embedded log.

    python -m bench.wire_fairness [--samples 150] [--partitions 1000] [--seed 1] [--json FILE]

- a partner whose link takes nothing any more: p99 of a record's way to another partner, with it and without, in turns
- one hot partition beside idle ones: p99 of a record's way in these, with the hot one full and without, in turns
A record's way is from the answer to its append until it lies in the copy's log.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from bench.versions import versions
from tests.lab.admin import NoAnswer, send
from tests.lab.collect import Where
from tests.lab.logs import EmbeddedLogs
from tests.lab.wire.proxy import Proxy
from tests.support.figures import percentile
from tests.support.organization import Organization, stop_all, wait_for

TOPIC, COPY, SHARE = "departures", "copy", "flights"
TURNS = 6
WAY_S = 60.0
LOOK_S = 0.002
FLOOD = b"".join(json.dumps({"value": "x" * 5000, "partition": 0}).encode() + b"\n" for _ in range(200))


def append(source: Organization, body: bytes) -> None:
    send(source, "POST", f"/v1/topics/{TOPIC}/records", body, "application/x-ndjson")


def way_s(source: Organization, copy: EmbeddedLogs, partition: int) -> float:
    """Of one record."""
    where = Where("", COPY, partition)
    before = copy.ends([where])[0]
    append(source, json.dumps({"value": "here", "partition": partition}).encode() + b"\n")
    began_s = time.monotonic()
    wait_for("the record", lambda: copy.ends([where])[0] > before, WAY_S, LOOK_S)
    return time.monotonic() - began_s


@contextmanager
def flooding(source: Organization) -> Iterator[None]:
    """Partition 0 is given as much as the source takes."""
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            try:
                append(source, FLOOD)
            except NoAnswer:
                return

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def subscribed(directory: Path, source: Organization, org: str, front: Proxy | None = None) -> Organization:
    """Another organization that runs and copies."""
    made = Organization.init(directory / org, org)
    made.settings = ("listen.peers=",)
    made.start()
    text = source.mesh("peer", "export", *(["--address", front.address] if front else [])).out
    source.mesh("peer", "add", "-", stdin=made.mesh("peer", "export").out.encode())
    source.mesh("grant", "create", SHARE, "--to", org)
    made.mesh("peer", "add", "-", stdin=text.encode())
    made.mesh("subscribe", f"{source.org}/{SHARE}", "--topic", f"{TOPIC}={COPY}")
    return made


def started(directory: Path, partitions: int) -> Organization:
    source = Organization.init(directory / "acme", "acme.example")
    source.start()
    source.mesh("topic", "create", TOPIC, "--partitions", str(partitions))
    source.mesh("share", "create", SHARE, "--topic", TOPIC)
    return source


def dead_partner(directory: Path, samples: int) -> dict[str, float]:
    source = started(directory, 1)
    with stop_all(source), Proxy(source.peers) as front:
        healthy = subscribed(directory, source, "globex.example")
        with stop_all(healthy):
            dead = subscribed(directory, source, "initech.example", front)
            with stop_all(dead):
                return _turns(samples, source, EmbeddedLogs(healthy.home / "data"), front)


def _turns(samples: int, source: Organization, copy: EmbeddedLogs, front: Proxy) -> dict[str, float]:
    calm: list[float] = []
    troubled: list[float] = []
    wait_for("a first record", lambda: way_s(source, copy, 0), WAY_S)
    for _ in range(TURNS):
        for is_held, ways in ((False, calm), (True, troubled)):
            front.weather(is_held=is_held)
            ways += [way_s(source, copy, 0) for _ in range(samples // TURNS)]
    return told(calm, troubled)


def hot_partition(directory: Path, samples: int, partitions: int, chance: Random) -> dict[str, float]:
    source = started(directory, partitions)
    with stop_all(source):
        other = subscribed(directory, source, "globex.example")
        with stop_all(other):
            copy = EmbeddedLogs(other.home / "data")
            wait_for("all lanes", lambda: len(other.lanes()) == partitions, 180)
            calm: list[float] = []
            troubled: list[float] = []
            way_s(source, copy, partitions - 1)

            def ways() -> list[float]:
                numbers = [chance.randrange(1, partitions) for _ in range(samples // TURNS)]
                return [way_s(source, copy, number) for number in numbers]

            for _ in range(TURNS):
                calm += ways()
                with flooding(source):
                    troubled += ways()
            return told(calm, troubled)


def told(calm: Sequence[float], troubled: Sequence[float]) -> dict[str, float]:
    found = {"p99_calm_s": percentile(calm, 0.99), "p99_s": percentile(troubled, 0.99)}
    found |= {"p50_calm_s": percentile(calm, 0.5), "p50_s": percentile(troubled, 0.5), "most_s": max(troubled)}
    found["ratio"] = found["p99_s"] / found["p99_calm_s"]
    return {name: round(each, 4) for name, each in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.wire_fairness", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--partitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fairness-") as name:
        partner = dead_partner(Path(name) / "partner", options.samples)
        print(f"another partner's p99 beside a dead one: {partner}", flush=True)
        hot = hot_partition(Path(name) / "hot", options.samples, options.partitions, Random(options.seed))
        print(f"p99 of {options.partitions - 1} idle partitions beside a hot one: {hot}", flush=True)
    if options.json:
        figures = {"samples": options.samples, "partitions": options.partitions, "versions": versions()}
        document = figures | {"dead_partner": partner, "hot_partition": hot}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
