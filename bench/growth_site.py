"""What all parts of the growth benchmark stand on: two brokers, a tap before the first, organizations beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from bench.cpu import cpu_s
from bench.fetch_tap import Tap
from bench.growth_figures import EXPORTER, IMPORTER
from tests.lab.admin import NoAnswer, status
from tests.support.brokers import Broker, BrokerConfig
from tests.support.organization import Organization, stop_all
from tests.support.ports import free_ports
from tests.support.stock import Load, create_topics

BROKER_HEAP_MB = 1024
BROKER_READY_S = 240.0
PROPERTIES = {"message.max.bytes": "10485760"}
RUNNING = frozenset({"running", "catching-up"})


class TappedBroker(Broker):
    """Who dials `front`, where a tap listens, stays with it."""

    def __init__(self, config: BrokerConfig, port: int | None = None) -> None:
        super().__init__(replace(config, behind=True), port)
        self.front = f"127.0.0.1:{free_ports(1)[0]}"


@dataclass(frozen=True, slots=True)
class Site:
    """Two organizations beside a broker each, whose state lies there: all parts have the same ones. None runs."""

    directory: Path
    a: TappedBroker
    b: Broker
    tap: Tap
    acme: Organization
    globex: Organization

    @property
    def both(self) -> list[Organization]:
        return [self.acme, self.globex]

    def pair(self) -> None:
        with stop_all(*self.both):
            for each in self.both:
                each.start()
            self.acme.pair(self.globex)
            for each in self.both:
                each.stop()

    def share(self, topic: str) -> None:
        """A share of the topic's name, granted to the other one; while both run."""
        self.acme.share(topic, self.globex, topic)

    def create(self, topic: str, partitions: int) -> None:
        create_topics(self.a.address, [Load(topic, partitions, "none", 0, (), 0)])
        admin = AdminClient({"bootstrap.servers": self.a.address, "log_level": 2})
        deadline = time.monotonic() + BROKER_READY_S
        while topic not in admin.list_topics(timeout=30).topics:  # it was made, and not every thread has heard of it
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker does not list {topic}")
            time.sleep(0.05)

    def delete(self, *topics: str) -> None:
        """At both brokers, where they are there."""
        for broker in (self.a, self.b):
            admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
            there = [topic for topic in topics if topic in admin.list_topics(timeout=30).topics]
            for deleted in admin.delete_topics(there).values() if there else ():
                deleted.result(60)


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    config = BrokerConfig(BROKER_HEAP_MB, warm=True, properties=PROPERTIES)
    with ExitStack() as stack:
        a = stack.enter_context(TappedBroker.start(config, timeout_s=BROKER_READY_S))
        b = stack.enter_context(Broker.start(config, timeout_s=BROKER_READY_S))
        tap = stack.enter_context(Tap(int(a.front.rpartition(":")[2]), a.behind_address))
        acme = Organization.init(directory / EXPORTER, EXPORTER, "--kafka", a.address)
        globex = Organization.init(directory / IMPORTER, IMPORTER, "--kafka", b.address)
        made = Site(directory, a, b, tap, acme, globex)
        made.pair()
        yield made


class Ends:
    """How many records a topic's partitions hold together, asked of its broker in one request."""

    def __init__(self, address: str, topic: str, partitions: int) -> None:
        self._admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
        self._asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(partitions)}  # type: ignore[no-untyped-call]

    def held(self) -> int:
        answers = self._admin.list_offsets(self._asked, request_timeout=30)
        return sum(int(each.result(30).offset) for each in answers.values())

    def wait(self, records: int, timeout_s: float, pause_s: float = 0.05) -> None:
        """Raises RuntimeError where they are not there in time."""
        deadline = time.monotonic() + timeout_s
        while (held := self.held()) < records:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{held:,} of {records:,} records are there after {timeout_s:.0f} s")
            time.sleep(pause_s)


def lanes_running(organization: Organization) -> int:
    return sum(lane["state"] in RUNNING for lane in status(organization)["lanes"])


def copied(organization: Organization) -> int:
    """Records of all its lanes."""
    return sum(lane["records"] for lane in status(organization)["lanes"])


def wait_running(organization: Organization, lanes: int, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while (running := _running(organization)) < lanes:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{running} of {lanes} lanes run after {timeout_s:.0f} s")
        time.sleep(max(0.1, lanes / 1000))  # an answer of a thousand lanes costs the gateway something


def _running(organization: Organization) -> int:
    try:
        return lanes_running(organization)
    except NoAnswer:
        return 0


def cpu_of_all(organizations: list[Organization]) -> dict[str, float]:
    """CPU seconds by organization, since the start of its gateway."""
    return {each.org: cpu_s(pid(each)) for each in organizations}


def pid(organization: Organization) -> int:
    assert organization.process is not None, f"the gateway of {organization.org} does not run"
    return organization.process.pid


def rss_bytes(organization: Organization) -> int:
    """What is resident now."""
    for line in Path(f"/proc/{pid(organization)}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the gateway of {organization.org} has no memory any more")
