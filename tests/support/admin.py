"""A real admin API on a free loopback port, over an embedded cluster and a real registry, without peers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import aiohttp
import jsonschema_rs
from aiohttp import web

from certs.authority import Authority
from gateway.admin.answers import ERROR
from gateway.admin.server import create_app, start
from gateway.admin.token import TOKEN_NAME, TokenFile
from gateway.audit.auditor import Auditor
from gateway.config import load_config
from gateway.embedded.cluster import open_embedded
from gateway.groups.syncing import GroupSync
from gateway.health import Health
from gateway.http.described import operation_of
from gateway.http.serving import Listening
from gateway.metrics import Metrics
from gateway.peers.errors import FeatureMissing, PeerUnreachable
from gateway.ports_file import Ports, write_ports
from gateway.promoting import Promoter
from gateway.registry import Registry
from gateway.rpc.identity import Identity
from gateway.services import DigestPage, LinkStatus, PeerSight, Services
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GatewayId, GroupName, LaneId, OrgId, ShareName, SubscriptionName, TopicName
from mesh.lanes.status import LaneStatus
from mesh.offsets.map import OffsetMap
from mesh.offsets.view import OffsetView
from mesh.shares import StartAt
from mesh.wire.v1 import catalog_pb2, link_pb2
from tests.support.trust import GATEWAY, identity_of


async def conforms(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer is what the OpenAPI document says that it is."""
    if isinstance(response, web.Response) and response.content_type == "application/json" and response.body:
        declared = operation_of(request.match_info.handler)
        known = declared.answers if declared is not None else {}
        jsonschema_rs.validate(dict(known.get(response.status, ERROR)), json.loads(response.text or ""))


def now_ms() -> int:
    return int(time.time() * 1000)


@cache
def authority(org: str) -> Authority:
    return Authority.create(OrgId(org), datetime.now(UTC))


@cache
def identity() -> Identity:
    """Of the gateway whose admin API is tested."""
    issued = authority("acme.example").issue(GATEWAY, datetime.now(UTC))
    return identity_of(issued, GatewayId(OrgId("acme.example"), GATEWAY))


@dataclass
class FakeLinks:
    """Links and catalogs as a test states them; a peer without a catalog does not answer."""

    found: list[LinkStatus] = field(default_factory=list)
    exported: list[dict[str, object]] = field(default_factory=list)
    catalogs: dict[str, catalog_pb2.CatalogReply] = field(default_factory=dict)
    measures: dict[str, link_pb2.MeasureReply] = field(default_factory=dict)
    sights: dict[str, PeerSight] = field(default_factory=dict)
    asked_to_stop: list[str] = field(default_factory=list)
    groups: dict[str, list[PeerGroup]] = field(default_factory=dict)
    committed: list[tuple[GroupName, list[TopicPositions], bool]] = field(default_factory=list)

    def status(self) -> list[LinkStatus]:
        return list(self.found)

    def sight(self, org: str) -> PeerSight:
        return self.sights.get(org, PeerSight())

    async def stopped(self, peer: OrgId, share: ShareName | None = None) -> None:
        self.asked_to_stop.append(peer)

    def exports(self) -> list[dict[str, object]]:
        return list(self.exported)

    organization = OrgId("acme.example")

    async def measure(
        self, peer: OrgId, share: ShareName, topics: Sequence[str], start: StartAt
    ) -> link_pb2.MeasureReply:
        if peer not in self.measures:
            raise FeatureMissing(peer, "measures")
        return self.measures[peer]

    async def catalog(self, peer: OrgId) -> catalog_pb2.CatalogReply:
        if peer not in self.catalogs:
            raise PeerUnreachable(peer, "it has not connected")
        return self.catalogs[peer]

    async def digests(
        self,
        peer: OrgId,
        share: ShareName,
        topic: TopicName,
        partition: int,
        start: int,
        end: int,
        max_records: int,
        *,
        bare: bool = False,
    ) -> DigestPage:
        return DigestPage([], [], end)

    async def group_positions(
        self, peer: OrgId, share: ShareName, group: GroupName | None, topics: Sequence[TopicName], *, with_ends: bool
    ) -> list[PeerGroup]:
        if peer not in self.groups:
            raise PeerUnreachable(peer, "it has not connected")
        return [each for each in self.groups[peer] if group in (None, each.name)]

    async def group_commit(
        self, peer: OrgId, share: ShareName, group: GroupName, positions: Sequence[TopicPositions], *, backward: bool
    ) -> int:
        self.committed.append((group, list(positions), backward))
        return sum(len(each.positions) for each in positions)


@dataclass
class FakeLanes:
    """Lanes and their maps as a test states them."""

    found: list[LaneStatus] = field(default_factory=list)
    maps: dict[LaneId, OffsetMap] = field(default_factory=dict)
    asked_to_stop: list[str] = field(default_factory=list)
    stops: asyncio.Event = field(default_factory=asyncio.Event)

    def statuses(self) -> list[LaneStatus]:
        return list(self.found)

    async def stopped(self, name: SubscriptionName) -> None:
        self.asked_to_stop.append(name)
        await self.stops.wait()

    async def peer_stopped(self, org: OrgId) -> None:
        self.asked_to_stop.append(org)
        await self.stops.wait()

    async def offset_map(self, lane: LaneId) -> OffsetView | None:
        held = self.maps.get(lane)
        return OffsetView(held, held.position, held.destination_offset) if held is not None else None


@dataclass
class AdminGateway:
    """What a test needs of it: the directory for the CLI, the parts, and an HTTP session with the token."""

    directory: Path
    services: Services
    lanes: FakeLanes
    links: FakeLinks
    health: Health
    metrics: Metrics
    listening: Listening
    session: aiohttp.ClientSession
    token: str
    stops: list[bool]

    @property
    def url(self) -> str:
        return f"http://{self.listening.address}"


@asynccontextmanager
async def admin_gateway(directory: Path) -> AsyncIterator[AdminGateway]:
    config_path = directory / "mesh.toml"
    config_path.write_text('organization = "acme.example"\n')
    config = load_config(config_path, environ={})
    config.state_dir.mkdir()
    cluster = await open_embedded(config.data_dir, now_ms=now_ms())
    lanes, links, health, metrics = FakeLanes(), FakeLinks(), Health(), Metrics()
    lanes.stops.set()
    metrics.observe(lanes.statuses, links.status, lambda: health.ready)
    auditor = await Auditor.open(cluster.audit, identity, now_ms)
    registry = await Registry.open(cluster.control, cluster.lanes)
    registry.audited = auditor.changed
    promoter = Promoter(cluster, registry, lanes, stop_s=5)
    groups = GroupSync(cluster, registry, links, lanes, period_s=1, now_ms=now_ms)
    address = "127.0.0.1:7463"
    services = Services(config, cluster, registry, links, lanes, now_ms, lambda: address, auditor, promoter, groups)
    tokens = TokenFile(config.state_dir / TOKEN_NAME)
    stops: list[bool] = []
    app = create_app(services, health, tokens, render_metrics=metrics.render, stop=lambda: stops.append(True))
    app.on_response_prepare.append(conforms)
    listening = await start(app, "127.0.0.1", 0)
    write_ports(config.state_dir, Ports(listening.address))
    token = tokens()[0]
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with aiohttp.ClientSession(headers=headers) as session:
            yield AdminGateway(directory, services, lanes, links, health, metrics, listening, session, token, stops)
    finally:
        await listening.close()
        await cluster.close()
