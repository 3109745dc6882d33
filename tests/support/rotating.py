"""Two organizations with key files on disk, hubs over loopback gRPC, and a mirror that runs while certificates change.

    async with rotating(tmp_path) as both:
        await both.acme.keeper.rotate_leaf()
        await both.copied(50)

ACME shares and renews; GLOBEX imports. A `Site` that is closed and opened again is what a killed gateway comes back as:
its files and its cluster's state stay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from certs import store
from certs.organization import create_organization
from certs.own import TrustFiles, load_own
from certs.profiles import DEFAULT_LIFETIMES, Lifetimes
from gateway.exporter import ExportSettings
from gateway.importer.lane import LaneSettings
from gateway.importer.manager import ImportManager
from gateway.importer.pipeline import PipelineSettings
from gateway.link.ports import SessionLimits
from gateway.metrics import Metrics
from gateway.peer import Peer
from gateway.peers.hub import Hub, HubSettings
from gateway.registry import Registry
from gateway.rotation.keeper import CertificateKeeper, KeeperSettings
from gateway.rpc.credentials import TransportLimits
from gateway.rpc.identity import Identity, load_identity
from gateway.rpc.listener import Listener, listen
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import check_records
from mesh.ids import GatewayName, OrgId, Partition, ShareName, SubscriptionName, TopicName
from mesh.shares import Grant, StartAt, Subscription, TopicMapping
from mesh.testing.cluster import FakeCluster
from mesh.trust.bundle import Bundle
from tests.support.batches import plain_batch
from tests.support.mirror import records_of_partition
from tests.support.ports import free_ports

SETTINGS = HubSettings(
    session=SessionLimits(),
    export=ExportSettings(wait_s=0.2),
    transport=TransportLimits(),
    max_frame_bytes=20 << 20,
    heartbeat_s=1.0,
    reconnect_initial_s=0.05,
    reconnect_max_s=0.2,
)
LANES = LaneSettings(PipelineSettings(DEFAULT_LIMITS, check_records), 1 << 20, 0.1, 0.5)
TOPIC, COPY = TopicName("departures"), TopicName("acme.departures")
FLIGHTS = ShareName("flights")
WAIT_S = 20.0
LATE_S = 3.0
"""A record that is later stood at a closed door; `python -m tests.drills.trust` measures how late they are."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Site:
    org: OrgId
    home: Path
    lifetimes: Lifetimes = DEFAULT_LIFETIMES
    cluster: FakeCluster = field(default_factory=FakeCluster)
    port: int = 0
    ahead: timedelta = timedelta()
    """How far the keeper's clock is ahead of the machine's, by which certificates are judged."""
    registry: Registry = field(init=False)
    hub: Hub = field(init=False)
    keeper: CertificateKeeper = field(init=False)
    imports: ImportManager = field(init=False)
    metrics: Metrics = field(init=False)
    listener: Listener | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def new(cls, org: str, home: Path, lifetimes: Lifetimes = DEFAULT_LIFETIMES) -> Site:
        create_organization(home, OrgId(org), GatewayName("one"), datetime.now(UTC), lifetimes)
        return cls(OrgId(org), home, lifetimes, port=free_ports(1)[0])

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def files(self) -> TrustFiles:
        return TrustFiles(self.keys)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def bundle(self) -> Bundle:
        return load_own(self.keys, self.org, self.now()).bundle

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def identity(self) -> Identity:
        store.finish_pair(self.files.leaf, self.files.leaf_key)
        return load_identity(self.files.leaf, self.files.leaf_key)

    async def open(self) -> None:
        """Everything but the tasks."""
        ports = self.cluster.ports
        self.registry = await Registry.open(ports.control, ports.lanes)
        identity, self.metrics = self.identity(), Metrics()
        self.hub = Hub(identity, ports, self.registry, SETTINGS, now_ms=now_ms, random=Random(1), metrics=self.metrics)
        settings = KeeperSettings(self.keys, 0.1, self.lifetimes)
        self.keeper = await CertificateKeeper.open(
            settings, identity, self.registry, self.hub, now=self.now, random=Random(2), metrics=self.metrics
        )
        self.imports = ImportManager(ports, self.registry, self.hub, LANES, now_ms=now_ms, random=Random(3))

    async def run(self, group: asyncio.TaskGroup) -> None:
        self.listener = await listen(self.hub, self.hub.trust, self.hub.transport, "127.0.0.1", self.port)
        self.tasks = [group.create_task(part.run()) for part in (self.imports, self.hub, self.keeper)]

    async def kill(self) -> None:
        """Everything ends at once, without a word to the peer."""
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self.listener is not None:
            await self.listener.close(0)
            self.listener = None

    async def know(self, other: Site, *, dial: bool) -> None:
        await self.registry.add_peer(Peer(other.bundle, (other.address,) if dial else ()))


@dataclass
class Both:
    acme: Site
    globex: Site
    group: asyncio.TaskGroup
    written: dict[int, float] = field(default_factory=dict)
    arrived: dict[int, float] = field(default_factory=dict)

    async def start(self, site: Site) -> None:
        await site.open()
        await site.run(self.group)

    async def restart(self, site: Site) -> None:
        await site.kill()
        await self.start(site)

    # --- the mirror

    def append(self) -> None:
        offset = self.acme.cluster.foreign_write(Partition(TOPIC, 0), plain_batch([b"record"]))
        self.written[offset] = time.monotonic()

    async def produce(self) -> None:
        """A record each 20 ms."""
        while True:
            self.append()
            await asyncio.sleep(0.02)

    async def watch(self) -> None:
        """When each record is in the copy."""
        log = self.globex.cluster.log(Partition(COPY, 0))
        while True:
            for offset in range(len(self.arrived), log.end):
                self.arrived[offset] = time.monotonic()
            await asyncio.sleep(0.005)

    async def copied(self, more: int) -> None:
        """So many more records than are written now have arrived."""
        wanted = len(self.written) + more
        await self.until(f"{wanted} records", lambda: len(self.arrived) >= wanted)

    @property
    def latest_s(self) -> float:
        """The longest that a record was on its way."""
        return max(self.arrived[offset] - self.written[offset] for offset in self.arrived)

    async def check(self) -> None:
        """The copy is exact: same records, same offsets, none lost, none twice."""
        await self.copied(0)
        source = await records_of_partition(self.acme.cluster.ports, Partition(TOPIC, 0))
        copy = await records_of_partition(self.globex.cluster.ports, Partition(COPY, 0))
        assert [(at, record[1:]) for at, record in copy] == [(at, record[1:]) for at, record in source[: len(copy)]]
        assert len(copy) >= len(self.arrived)

    async def until(self, what: str, condition: Callable[[], object], timeout_s: float = WAIT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.acme.keeper.status()}, {self.globex.hub.status()}"
            await asyncio.sleep(0.01)

    async def linked(self) -> None:
        await self.until("a link", lambda: self.acme.hub.status() and self.globex.hub.status())


@asynccontextmanager
async def rotating(
    home: Path, *, acme_dials: bool = False, lifetimes: Lifetimes = DEFAULT_LIFETIMES
) -> AsyncIterator[Both]:
    """Both run, linked (GLOBEX dials unless told otherwise), and a lane copies what is written all the time."""
    acme = Site.new("acme.example", home / "acme", lifetimes)
    globex = Site.new("globex.example", home / "globex")
    await acme.cluster.ports.topics.create(TOPIC, 1, {})
    await globex.cluster.ports.topics.create(COPY, 1, {})
    await acme.open()
    await globex.open()
    await acme.know(globex, dial=acme_dials)
    await globex.know(acme, dial=not acme_dials)
    await acme.registry.create_share(FLIGHTS, [TOPIC], now_ms())
    await acme.registry.create_grant(Grant(FLIGHTS, globex.org), now_ms())
    await globex.registry.subscribe(
        Subscription(SubscriptionName("flights"), acme.org, FLIGHTS, (TopicMapping(TOPIC, COPY),), StartAt())
    )
    async with asyncio.TaskGroup() as group:
        both = Both(acme, globex, group)
        others = [group.create_task(part()) for part in (both.produce, both.watch)]
        try:
            await acme.run(group)
            await globex.run(group)
            await both.copied(1)
            yield both
        finally:
            for task in others:
                task.cancel()
            await globex.kill()
            await acme.kill()
