"""The daemon: opens everything in order, runs it in one task group, and closes it in the opposite order.

Start: identity, cluster, registry, listeners, links and lanes; beside these the admin API is imported, and when it
answers comes the ready line. Stop (SIGTERM, SIGINT, POST /v1/shutdown): not ready; lanes settle what is under way;
links say go-away and drain; the local API stays up for `timing.drain_pre_s`; listeners close; the cluster closes.
Lanes and links have `timing.drain_timeout_s`; a second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from random import SystemRandom

import structlog

from certs.own import TrustFiles
from certs.store import finish_pair
from gateway import health_listener, logs, state_dir
from gateway.admin.token import TOKEN_NAME, TokenFile
from gateway.audit.auditor import Auditor
from gateway.audit.head_file import HEAD_FILE, HeadFile
from gateway.config import GatewayConfig
from gateway.embedded.cluster import EmbeddedCluster, open_embedded
from gateway.embedded.lock import DirectoryLock
from gateway.enrolment.desk import EnrolmentDesk
from gateway.first_opening import open_first
from gateway.groups.provider import GroupAnswers
from gateway.groups.syncing import GroupSync
from gateway.health import Health
from gateway.http.door import Door, open_door
from gateway.importer.manager import ImportManager
from gateway.kafka.cluster import open_kafka
from gateway.local.doors import LocalDoors, local_doors
from gateway.metrics import Metrics
from gateway.peers.denials import NAME as DISOWNED
from gateway.peers.denials import Denials
from gateway.peers.hub import Hub
from gateway.ports_file import Ports, read_ports, remove_ports, write_ports
from gateway.promoting import Promoter
from gateway.registry import Registry
from gateway.reloading import HangUp, LiveConfig
from gateway.revocations import NAME as REVOCATIONS
from gateway.revocations import Revocations
from gateway.rotation.keeper import CertificateKeeper, KeeperSettings
from gateway.rpc.identity import Identity, load_identity
from gateway.rpc.listener import Listener, listen
from gateway.rpc.tls13 import ensure_tls13
from gateway.services import Services
from gateway.settings import hub_settings, lane_settings
from gateway.stop_signals import StopSignals
from mesh.batch.native import IS_COMPILED
from mesh.errors import MeshError
from mesh.lanes.warnings import warnings
from mesh.ports import Cluster
from mesh.trust.bundle import Bundle
from mesh.wire.v1 import link_pb2

log = structlog.get_logger()

ADMIN = "gateway.admin.server"
LOCAL = "gateway.local.listeners"
MEMBER = "group-member"
"""Who this gateway is in the group of its organization's gateways, kept so that a restart need not wait."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def now() -> datetime:
    return datetime.now(UTC)


async def run(config: GatewayConfig, read: Callable[[], GatewayConfig] | None = None) -> int:
    """Run until asked to stop; answer the exit code. Raises the MeshError that prevents the start.

    `read` reads the configuration again, while it runs.
    """
    live = LiveConfig(config, read)
    with HangUp(live.ask):
        return await _run(live)


async def _run(live: LiveConfig) -> int:
    config = live.in_force
    state_dir.prepare(config.state_dir)
    files = TrustFiles(config.keys_dir)
    finish_pair(files.leaf, files.leaf_key)
    identity = load_identity(files.leaf, files.leaf_key)
    async with AsyncExitStack() as stack:
        cluster = await open_first(stack, config, lambda: open_cluster(config))
        if cluster is None:
            return 0
        revocations = Revocations(config.state_dir / REVOCATIONS)
        heads = HeadFile(config.state_dir / HEAD_FILE)
        auditor = await Auditor.open(cluster.audit, lambda: identity, now_ms, heads)
        registry = await Registry.open(cluster.control, cluster.lanes, revocations)
        registry.audited = auditor.changed
        try:
            live.record = auditor.record
            return await (await Gateway.make(live, identity, cluster, registry, auditor)).run()
        finally:
            await auditor.close()


@asynccontextmanager
async def open_cluster(config: GatewayConfig) -> AsyncIterator[Cluster]:
    """The organization's own log, as configured. Raises DirectoryInUse where this gateway runs already."""
    if config.cluster_kind == "kafka":
        assert config.kafka is not None
        # Before anything is opened: a second process of this gateway would claim the lanes of the first one, and only
        # then find the ports taken. The embedded log has a lock of its own.
        lock = DirectoryLock(config.state_dir, now_ms())
        try:
            async with open_kafka(config.kafka, config.gateway_name, config.state_dir / MEMBER) as kafka:
                yield kafka
        finally:
            lock.release()
        return
    embedded = await open_embedded(config.data_dir, now_ms=now_ms())
    try:
        yield embedded
    finally:
        await embedded.close()


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway, made of its parts and not yet running."""

    live: LiveConfig
    identity: Identity
    cluster: Cluster
    registry: Registry
    hub: Hub
    imports: ImportManager
    certificates: CertificateKeeper
    health: Health
    metrics: Metrics
    auditor: Auditor
    promoter: Promoter
    groups: GroupSync
    denials: Denials
    stopping: asyncio.Event

    @classmethod
    async def make(
        cls, live: LiveConfig, identity: Identity, cluster: Cluster, registry: Registry, auditor: Auditor
    ) -> Gateway:
        """Raises OwnTrustDamaged, CertificateFileUnreadable, BundleRefused."""
        config, metrics = live.in_force, Metrics()
        metrics.on_refusal = auditor.refused
        hub = Hub(
            identity, cluster, registry, hub_settings(config), now_ms=now_ms, random=SystemRandom(), metrics=metrics
        )
        imports = ImportManager(
            cluster,
            registry,
            hub,
            lane_settings(config),
            now_ms=now_ms,
            random=SystemRandom(),
            meter=lambda peer, share: metrics.lane(peer, share, "import"),
        )
        settings = KeeperSettings(config.keys_dir, config.timing.certificates_s)
        certificates = await CertificateKeeper.open(
            settings, identity, registry, hub, now=now, random=SystemRandom(), metrics=metrics, record=auditor.record
        )
        promoter = Promoter(cluster, registry, imports, config.timing.drain_timeout_s)
        groups = GroupSync(cluster, registry, hub, imports, period_s=config.timing.groups_s, now_ms=now_ms)
        answers = GroupAnswers(cluster, registry, groups.writer, auditor.record, metrics, now_ms)
        hub.answer_with(link_pb2.GroupPositionsRequest, answers.positions)
        hub.answer_with(link_pb2.GroupCommitRequest, answers.commit)
        auditor.signer.identity = lambda: certificates.identity  # its leaf is renewed
        denials = Denials(config.state_dir / DISOWNED, registry, hub, lambda: certificates.identity, now)
        return cls(
            live,
            identity,
            cluster,
            registry,
            hub,
            imports,
            certificates,
            Health(),
            metrics,
            auditor,
            promoter,
            groups,
            denials,
            asyncio.Event(),
        )

    @property
    def config(self) -> GatewayConfig:
        """What is in force now."""
        return self.live.in_force

    async def run(self) -> int:
        async with AsyncExitStack() as stack:
            listener = await self._listen(stack)
            desk = self._enrolment(listener)
            door = open_door(*self.config.admin_listen)
            stack.callback(door.close)
            probes = health_listener.reserve(self.config.health_listen)
            if probes is not None:
                stack.callback(probes.close)
            known = self.config
            local = await local_doors(known.local_http, known.local_grpc, known.local, known.state_dir)
            if local is not None:
                stack.push_async_callback(local.close)
            tokens = TokenFile(self.config.state_dir / TOKEN_NAME)
            self._observe()
            with StopSignals(self.stopping.set):
                await self._serve(stack, door, probes, local, tokens, listener, desk)
        log.info("gateway stopped")
        return 0

    async def _serve(
        self,
        stack: AsyncExitStack,
        door: Door,
        probes: Door | None,
        local: LocalDoors | None,
        tokens: TokenFile,
        listener: Listener | None,
        desk: EnrolmentDesk,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            imports = group.create_task(self.imports.run())
            hub = group.create_task(self.hub.run())
            others = [group.create_task(self._maintain()), group.create_task(self.certificates.run())]
            others.append(group.create_task(self.auditor.run(lambda: list(self.registry.grants.values()))))
            others.append(group.create_task(self.promoter.run()))
            others.append(group.create_task(self.registry.follow()))
            others += [group.create_task(self.groups.run()), group.create_task(self.live.run())]
            await self.auditor.record("gateway.started", str(self.identity.id))
            services = self._services(listener, desk)
            await self._open_admin(stack, door, tokens, services)
            ports = Ports(door.address, listener.address if listener else "", pid=os.getpid())
            ports = await self._open_local(stack, local, services, ports)
            if probes is not None:  # last: who asks whether this gateway is ready wants all of it
                answering = await health_listener.serve(probes, self.health, self.metrics.render)
                stack.push_async_callback(answering.close)
                ports = replace(ports, health=answering.address)
            write_ports(self.config.state_dir, ports)
            others.append(group.create_task(desk.run()))
            print(ports.line(), flush=True)
            log.info(
                "gateway ready",
                organization=str(self.identity.id.org),
                admin=ports.admin,
                peers=ports.peers,
                native=IS_COMPILED,
            )
            await self.stopping.wait()
            self.health.stopping()
            async with asyncio.TaskGroup() as leaving:
                # local publishing goes on meanwhile: the application may end after its gateway was told to
                leaving.create_task(asyncio.sleep(self.config.timing.drain_pre_s))
                await self._drain(imports, listener)
            await self.auditor.record("gateway.stopped", str(self.identity.id))
            for task in (hub, *others):
                task.cancel()
        remove_ports(self.config.state_dir)

    async def _open_admin(self, stack: AsyncExitStack, door: Door, tokens: TokenFile, services: Services) -> None:
        await asyncio.to_thread(import_module, ADMIN)  # in a thread: lanes need not wait for a fifth of all imports
        from gateway.admin import server

        app = server.create_app(
            services,
            self.health,
            tokens,
            render_metrics=self.metrics.render,
            stop=self.stopping.set,
        )
        api = await server.serve(app, door)
        stack.push_async_callback(api.close)

    async def _open_local(
        self, stack: AsyncExitStack, doors: LocalDoors | None, services: Services, ports: Ports
    ) -> Ports:
        """The local API, where one is configured: a gateway without it is the smaller for it."""
        if doors is None:
            return ports
        await asyncio.to_thread(import_module, LOCAL)
        from gateway.local.listeners import open_local

        local = await open_local(doors, services, self.health, self.stopping.set, self.metrics.application())
        stack.push_async_callback(local.close)
        return replace(
            ports,
            local_http=doors.http.address if doors.http else "",
            local_grpc=doors.grpc.address if doors.grpc else "",
        )

    async def _drain(self, imports: asyncio.Task[None], listener: Listener | None) -> None:
        log.info("gateway draining")
        try:
            async with asyncio.timeout(self.config.timing.drain_timeout_s):
                imports.cancel()
                await asyncio.wait([imports])
                await self.cluster.ownership.leave()
                await self.hub.drain()
        except TimeoutError:
            # Whoever waits for a cluster that does not answer would wait on; the next start asks the log.
            log.warning("gateway ended before it was drained", timeout_s=self.config.timing.drain_timeout_s)
            remove_ports(self.config.state_dir)
            os._exit(1)
        if listener is not None:
            await listener.close(0)

    async def _listen(self, stack: AsyncExitStack) -> Listener | None:
        address = self.config.peers_listen
        if address is None:
            return None
        limits = self.hub.transport
        trust, is_ready = self.hub.trust, lambda: self.health.ready
        listener = await listen(self.hub, trust, limits, address.host, address.port, is_ready)
        stack.push_async_callback(listener.close, 0)
        await ensure_tls13(_reachable(address.host), listener.port, self.config.timing.request_timeout_s)
        return listener

    def _enrolment(self, listener: Listener | None) -> EnrolmentDesk:
        def announce(address: str) -> None:
            ports = read_ports(self.config.state_dir)
            if ports is not None:
                write_ports(self.config.state_dir, replace(ports, enrolment=address))

        async def own_bundle() -> Bundle:
            return self.certificates.own.bundle

        async def probe(opened: Listener) -> None:
            await ensure_tls13(_reachable(opened.host), opened.port, self.config.timing.request_timeout_s)

        desk = EnrolmentDesk(
            self.registry,
            lambda: self.certificates.identity,
            own_bundle,
            lambda: tuple(map(str, self.config.advertised)) or ((listener.address,) if listener else ()),
            self.config.enrolment_listen,
            now_ms,
            allow_private=self.config.private_addresses,
            audit=self.auditor.record,
            announce=announce,
            probe=probe,
        )
        self.live.on_change(lambda config: setattr(desk, "allow_private", config.private_addresses))
        return desk

    def _services(self, listener: Listener | None, desk: EnrolmentDesk) -> Services:
        services = Services(
            config=self.config,
            cluster=self.cluster,
            registry=self.registry,
            links=self.hub,
            lanes=self.imports,
            now_ms=now_ms,
            peer_address=lambda: ",".join(map(str, self.config.advertised)) or (listener.address if listener else ""),
            audit=self.auditor,
            promoter=self.promoter,
            groups=self.groups,
            certificates=self.certificates,
            enrolment=desk,
            denials=self.denials,
            live=self.live,
        )
        self.live.on_change(lambda config: setattr(services, "config", config))
        return services

    def _adopt(self, config: GatewayConfig) -> None:
        """Go on with a configuration that was read again, as far as `config_reload.LIVE` goes."""
        logs.configure(config.log.level, config.log.format)
        self.hub.settings, self.imports.settings = hub_settings(config), lane_settings(config)
        self.certificates.poll_s, self.groups.period_s = config.timing.certificates_s, config.timing.groups_s
        self.promoter.stop_s = config.timing.drain_timeout_s

    def _observe(self) -> None:
        kept = self.certificates
        self.live.on_change(self._adopt)
        self.health.advise("configuration", self.live.trouble)
        self.health.add("certificate", lambda: "the gateway's certificate has expired" if kept.has_expired else "")
        self.health.advise("certificate-files", lambda: kept.leaf.fault)
        self.health.advise("certificates-end", lambda: "; ".join(kept.warnings()))
        self.health.advise("lanes", lambda: "; ".join(warning.why for warning in warnings(self.imports.statuses())))
        self.health.add("audit", self.auditor.trouble)
        self.health.add("control", self.registry.trouble)
        self.health.advise("group", self.cluster.ownership.trouble)
        self.metrics.observe(
            self.imports.statuses,
            self.hub.status,
            lambda: self.health.ready,
            kept.expiry_s,
        )

    async def _maintain(self) -> None:
        """Retention of the embedded log, now and then."""
        while isinstance(self.cluster, EmbeddedCluster):
            try:
                await self.cluster.maintain(now_ms())
            except MeshError as error:  # a full disk now is no reason to stop: the next turn tries again
                log.warning("retention failed", code=error.code, reason=str(error), remedy=error.remedy)
            await asyncio.sleep(self.config.timing.maintenance_s)


def _reachable(host: str) -> str:
    """Where a listener on `host` answers from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
