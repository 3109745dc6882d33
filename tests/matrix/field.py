"""Two organizations on a real broker each, mirroring all kinds of sources at once through each fault."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from confluent_kafka import Consumer, TopicPartition

from gateway.admin.token import TOKEN_NAME
from tests.matrix.faults import Fault, Wire
from tests.matrix.judge import Evidence, Log
from tests.matrix.leading import addresses
from tests.matrix.reading import Place, with_aiokafka, with_confluent
from tests.matrix.sources import EARLIEST, KINDS, Kind, Stage, Writers, create
from tests.support.brokers import Broker, BrokerConfig
from tests.support.organization import Organization, stop_all, wait_for

SHARE = "everything"
ARRIVAL_S = 120.0
BULK = 10_000
QUICK_CLEANER = {"log.cleaner.backoff.ms": "200", "message.max.bytes": "2100000"}
SLOW_MIRROR = "limits.lane_credit_bytes=262144"


@dataclass
class Field:
    """What a fault strikes. `theirs` are the source's brokers, `ours` the destination's."""

    acme: Organization
    globex: Organization
    theirs: list[Broker]
    ours: list[Broker]
    wires: list[Wire]
    writers: Writers
    victims: list[Broker] = field(default_factory=list)
    """Brokers that are dead."""
    subscriptions: dict[str, list[Kind]] = field(default_factory=dict)
    """Of the present fault: name and topics; one for each place to begin at."""

    @classmethod
    def build(cls, stack: ExitStack, directory: Path, brokers: int = 1) -> Field:
        """Two clusters of so many brokers each."""
        theirs, ours = start_clusters(stack, brokers)
        acme = Organization.init(directory / "acme", "acme.example", "--kafka", addresses(theirs))
        globex = Organization.init(directory / "globex", "globex.example", "--kafka", addresses(ours))
        globex.settings = (SLOW_MIRROR,)
        stack.enter_context(stop_all(acme, globex))
        wires = {each.org: Wire(each.peers) for each in (acme, globex)}
        for wire in wires.values():
            stack.callback(wire.close)
        create(addresses(theirs), KINDS, brokers)
        writers = Writers(addresses(theirs), theirs[0].directory / "data")
        for kind in KINDS:
            kind.fill(writers, kind.name)
        acme.start()
        globex.start()
        for one, another in ((acme, globex), (globex, acme)):
            file = another.mesh("peer", "export", "--address", wires[another.org].address).out
            one.mesh("peer", "add", "-", stdin=file.encode())
        acme.share(SHARE, globex, *(kind.name for kind in KINDS))
        return cls(acme, globex, theirs, ours, list(wires.values()), writers)

    # --- one fault

    def run(self, fault: Fault) -> dict[str, list[Evidence]]:
        """Mirror everything through the fault; what was found of each kind's lanes."""
        began = time.monotonic()
        self._write(Stage.BEFORE)
        self._subscribe(fault)
        wait_for("every topic to begin to arrive", self._has_begun, ARRIVAL_S)
        fault.strike(self)
        if fault.source_writable:
            self._write(Stage.DURING)
        fault.heal(self)
        self._write(Stage.AFTER)
        struck = time.monotonic()
        trouble = self._arrival()
        arrived = time.monotonic()
        evidence = self._evidence(fault, trouble)
        for name in self.subscriptions:
            self.globex.mesh("subscription", "delete", name)
        steps = (struck - began, arrived - struck, time.monotonic() - arrived)
        print("{}: strike {:.0f} s, arrival {:.0f} s, judge {:.0f} s".format(fault.name, *steps))
        return evidence

    def _write(self, stage: Stage) -> None:
        for kind in KINDS:
            kind.live(self.writers, kind.name, stage)

    def _subscribe(self, fault: Fault) -> None:
        wait_for("a link", lambda: self.globex.mesh("status", "--json").json["links"])
        starts: dict[str, list[Kind]] = defaultdict(list)
        for kind in KINDS:
            starts[kind.start(self.writers)].append(kind)
        self.subscriptions = {}
        for number, (start, kinds) in enumerate(starts.items()):
            name = f"{fault.name}-{number}"
            topics = [word for kind in kinds for word in ("--topic", f"{kind.name}={fault.name}.{kind.name}")]
            self.globex.mesh("subscribe", f"acme.example/{SHARE}", *topics, "--from", start, "--name", name)
            self.subscriptions[name] = kinds

    def _has_begun(self) -> bool:
        records: dict[str, int] = defaultdict(int)
        for lane in self._lanes():
            records[lane["topic"]] += lane["records"]
        return all(records[kind.name] for kind in KINDS)

    def _lanes(self) -> list[dict[str, Any]]:
        return [each for each in self.globex.lanes() if each["subscription"] in self.subscriptions]

    def _arrival(self) -> dict[Place, str]:
        """Wait for all lanes; what is said of those that do not arrive."""
        places = [(kind.name, number) for kind in KINDS for number in range(kind.partitions)]
        ends = {place: log.end for place, log in _ends(addresses(self.theirs), places).items()}
        deadline, late = time.monotonic() + ARRIVAL_S, dict.fromkeys(ends, "no such lane")
        while late and time.monotonic() < deadline:
            for lane in self._lanes():
                place = (lane["topic"], lane["partition"])
                late[place] = f"{lane['state']} at {lane['source_position']} of {ends[place]}: {lane['reason']}"
                if lane["source_position"] == ends[place]:
                    del late[place]
            time.sleep(0.2)
        return late

    # --- evidence

    def _evidence(self, fault: Fault, trouble: dict[Place, str]) -> dict[str, list[Evidence]]:
        starts = {
            (kind.name, number): _offset(kind.start(self.writers))
            for kind in KINDS
            for number in range(kind.partitions)
        }
        committed = with_confluent(addresses(self.theirs), starts, "read_committed")
        everything = with_confluent(addresses(self.theirs), starts, "read_uncommitted")
        copies = [(f"{fault.name}.{topic}", number) for topic, number in starts]
        stock = with_confluent(addresses(self.ours), dict.fromkeys(copies, 0), "read_uncommitted")
        other = asyncio.run(with_aiokafka(addresses(self.ours), copies))
        answers = Answers(self.globex)
        found: dict[str, list[Evidence]] = defaultdict(list)
        for name, kinds in self.subscriptions.items():
            gaps = answers.gaps(name)
            for kind in kinds:
                for number in range(kind.partitions):
                    place, copy = (kind.name, number), (f"{fault.name}.{kind.name}", number)
                    log = committed[place]
                    visible = {each.offset for each in log.records}
                    aborted = {each.offset for each in everything[place].records} - visible
                    lane = Evidence(log, aborted, (stock[copy], other[copy]), trouble=trouble.get(place, ""))
                    lane.forward = answers.all(name, place, log.start, log.end)
                    lane.back = answers.all(name, place, 0, stock[copy].end, reverse=True)
                    lane.gaps = gaps[place]
                    found[kind.name].append(lane)
        answers.close()
        return found


class Answers:
    """What the gateway answers to its operator, over the admin API that the `mesh` command uses."""

    def __init__(self, gateway: Organization) -> None:
        host, _, port = gateway.admin.rpartition(":")
        self._connection = HTTPConnection(host, int(port), timeout=60)
        self._token = next(gateway.home.rglob(TOKEN_NAME)).read_text().strip()

    def close(self) -> None:
        self._connection.close()

    def gaps(self, name: str) -> dict[Place, list[tuple[int, int, str]]]:
        found: dict[Place, list[tuple[int, int, str]]] = defaultdict(list)
        listed = self._get(f"/v1/subscriptions/{name}/gaps")
        assert not listed["truncated"]
        for gap in listed["gaps"]:
            span = (gap["source_offset"], gap["next_source_offset"], gap["reason"])
            found[gap["topic"], gap["partition"]].append(span)
        return found

    def all(self, name: str, place: Place, start: int, end: int, *, reverse: bool = False) -> list[dict[str, Any]]:
        """The answer for every offset from start to end, fewer where the gateway has no more."""
        answers: list[dict[str, Any]] = []
        while start + len(answers) < end:
            offset = start + len(answers)
            query = {"topic": place[0], "partition": place[1], "offset": offset, "count": min(BULK, end - offset)}
            more = self._get(
                f"/v1/subscriptions/{name}/offsets?{urlencode(query | ({'reverse': 'true'} if reverse else {}))}"
            )
            if not more.get("answers"):
                break
            answers += more["answers"]
        return answers

    def _get(self, path: str) -> dict[str, Any]:
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer


def start_clusters(stack: ExitStack, size: int) -> tuple[list[Broker], list[Broker]]:
    """Two clusters, all brokers started at once: each takes seconds."""
    replicated = {
        "default.replication.factor": str(size),
        "offsets.topic.replication.factor": str(size),
        "transaction.state.log.replication.factor": str(size),
        "transaction.state.log.min.isr": str(size // 2 + 1),
        "min.insync.replicas": str(size // 2 + 1),
    }
    config = BrokerConfig(heap_mb=512 if size == 1 else 256, properties=QUICK_CLEANER | replicated)
    clusters = [[Broker(replace(config, node_id=number)) for number in range(1, size + 1)] for _ in range(2)]
    for cluster in clusters:
        for broker in cluster:
            stack.callback(broker.stop)
            broker.voters = ",".join(each.voter for each in cluster)
            broker.format()
    for broker in [*clusters[0], *clusters[1]]:
        broker.launch()
    for broker in [*clusters[0], *clusters[1]]:
        broker.wait_ready(90, brokers=size)
    return clusters[0], clusters[1]


def _ends(address: str, places: list[Place]) -> dict[Place, Log]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "ends"})
    try:
        marks = {place: consumer.get_watermark_offsets(TopicPartition(*place), timeout=30) for place in places}
    finally:
        consumer.close()
    return {place: Log(low, high, []) for place, (low, high) in marks.items()}


def _offset(start: str) -> int:
    return 0 if start == EARLIEST else int(start.removeprefix("offset:"))
