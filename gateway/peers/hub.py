"""The hub: one place that makes links, accepts them, hands them out and cuts them.

Strategy: a dialling task for each active peer with an address, which dials whenever there is no link, whoever made
the last one; sessions of accepted calls run in their handlers. Each change of the registry is applied at once: trust of
the listener, links of peers that are no longer active, lanes whose grant is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from secrets import token_bytes

import structlog

from gateway.exporter import ExportSettings, export_lane
from gateway.failing import ended_by
from gateway.link.lanes import ExportLane
from gateway.link.session import FrameStream, Session, SessionLimits
from gateway.metrics import Metrics
from gateway.peer import Peer
from gateway.peers.answers import Answers
from gateway.peers.dial import dialled
from gateway.peers.errors import PeerCut, PeerRefusedRequest, PeerUnreachable
from gateway.peers.public import public
from gateway.peers.table import LinkTable, LiveLink
from gateway.registry import Registry
from gateway.rpc.authenticator import LinkAuthenticator
from gateway.rpc.credentials import ServerTrust, TransportLimits
from gateway.rpc.identity import Identity, authenticate
from gateway.rpc.listener import Context
from gateway.rpc.streams import AcceptedStream
from gateway.services import DigestPage, LinkStatus
from mesh.backoff import Backoff
from mesh.errors import CallerError, MeshError
from mesh.ids import GatewayId, OrgId, ShareName, TopicName
from mesh.link.frames import Hello
from mesh.link.machine import Link
from mesh.policy import Request, ShareNotAvailable
from mesh.ports import Cluster
from mesh.shares import PeerState
from mesh.trust.cache import VerificationCache
from mesh.trust.errors import LeafRefused
from mesh.trust.leaf import PeerTrust, VerifiedLeaf
from mesh.trust.pem import to_der
from mesh.wire.v1 import catalog_pb2, link_pb2

log = structlog.get_logger()

# Room in a frame for what is not batches: lengths of spans, of a very holey segment.
FRAME_OVERHEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class HubSettings:
    session: SessionLimits
    export: ExportSettings
    transport: TransportLimits
    max_frame_bytes: int
    heartbeat_s: float
    reconnect_initial_s: float
    reconnect_max_s: float


class Hub:
    """Implements `gateway.services.Links` and `gateway.rpc.listener.PeerService`."""

    def __init__(
        self,
        identity: Identity,
        cluster: Cluster,
        registry: Registry,
        settings: HubSettings,
        *,
        now_ms: Callable[[], int],
        random: Random,
        metrics: Metrics | None = None,
    ) -> None:
        self._identity = identity
        self._cluster = cluster
        self._registry = registry
        self._settings = settings
        self._now_ms = now_ms
        self._random = random
        self._metrics = metrics or Metrics()
        self._answers = Answers(cluster, registry, now_ms)
        self._cache = VerificationCache()
        self._table = LinkTable()
        self._dialling: dict[OrgId, tuple[Peer, asyncio.Task[None]]] = {}
        self._failures: dict[OrgId, MeshError] = {}
        self._stopping = False
        self.transport = settings.transport
        self.trust = ServerTrust(identity, self._peer_trust().values())

    # --- running

    async def run(self) -> None:
        """Apply the registry's changes until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                version = self._registry.version
                self.trust.update(self._identity, self._peer_trust().values())
                self._cut_unwanted()
                self._reconcile_dialling(group)
                await self._registry.wait_changed(version)

    def _reconcile_dialling(self, group: asyncio.TaskGroup) -> None:
        wanted = {
            org: peer for org, peer in self._registry.peers.items() if peer.state is PeerState.ACTIVE and peer.addresses
        }
        for org, (peer, task) in list(self._dialling.items()):
            if wanted.get(org) != peer:
                task.cancel()
                del self._dialling[org]
        for org, peer in wanted.items():
            if org not in self._dialling:
                self._dialling[org] = (peer, group.create_task(self._keep_dialling(peer)))

    def _cut_unwanted(self) -> None:
        for org, link in self._table.all():
            peer = self._registry.peers.get(org)
            if peer is None or peer.state is not PeerState.ACTIVE:
                link.session.abort(PeerCut(org, peer.state if peer else "removed"))
                continue
            for lane in link.session.exports():
                if not self._may_read(org, lane):
                    link.session.end_export(lane, "not-available", f"share '{lane.opening.share}' is not available")

    def _may_read(self, org: OrgId, lane: ExportLane) -> bool:
        try:
            return self._registry.decide(self._request(org, lane), self._now_ms()).allowed
        except CallerError:  # the peer asked for a name that cannot be: its lane is about to end by that
            return False

    async def drain(self) -> None:
        """Say go-away on every link and wait until all have ended. No new ones are made."""
        self._stopping = True
        for org, (_, task) in self._dialling.items():
            if not self._table.has(org):
                task.cancel()  # a task that runs a session ends with it
        for _, link in self._table.all():
            link.session.drain("stopping", "the gateway stops")
        await self._table.wait_empty()

    # --- dialling and accepting

    async def _keep_dialling(self, peer: Peer) -> None:
        backoff = Backoff(self._settings.reconnect_initial_s, self._settings.reconnect_max_s, self._random)
        while not self._stopping:
            for address in peer.addresses:
                if self._table.current(peer.org) is None:
                    await self._dial(peer, address, backoff)
            await asyncio.sleep(backoff.next_s())
            await self._table.wait_gone(peer.org)

    async def _dial(self, peer: Peer, address: str, backoff: Backoff) -> None:
        try:
            async with dialled(self._identity, self._trust_of(peer), address, self._settings.transport) as stream:
                await self._run(self._session(stream, peer.org, dialler=True), peer.org, "dialler", address, backoff)
        except MeshError as error:
            self._metrics.handshake_failures.labels(error.code).inc()
            known = self._failures.get(peer.org)
            self._failures[peer.org] = error
            if str(known) != str(error):  # a peer that is down for hours is one line, not thousands
                log.warning("link failed", peer=str(peer.org), address=address, code=error.code, reason=str(error))
        except Exception:  # a mistake of ours on one link must not end the others
            log.exception("link failed", peer=str(peer.org), address=address)

    def verify(self, context: Context) -> VerifiedLeaf:
        try:
            return authenticate(context, self._peer_trust(), self._cache, datetime.now(UTC))
        except LeafRefused as error:
            self._metrics.refusals.labels("unverified", error.reason).inc()
            raise

    async def accept(self, leaf: VerifiedLeaf, stream: AcceptedStream, address: str) -> None:
        if self._stopping:
            return
        session = self._session(stream, leaf.id.org, dialler=False, leaf=to_der(leaf.certificate))
        await self._run(session, leaf.id.org, "acceptor", address, None)

    async def list_catalog(self, leaf: VerifiedLeaf) -> catalog_pb2.CatalogReply:
        return await self._answers.catalog(leaf.id.org)

    def _session(self, stream: FrameStream, org: OrgId, *, dialler: bool, leaf: bytes = b"") -> Session:
        hello = Hello(
            organization=self._identity.id.org,
            gateway=self._identity.id.name,
            nonce=token_bytes(32),
            max_frame_bytes=self._settings.max_frame_bytes,
            heartbeat_ms=int(self._settings.heartbeat_s * 1000),
        )
        return Session(
            Link(hello, dialler=dialler, now_s=time.monotonic()),
            stream,
            authenticator=LinkAuthenticator(self._identity, self._peer_trust, org, lambda: datetime.now(UTC), leaf),
            export=self._export,
            answer=self._answer,
            limits=self._settings.session,
            clock=time.monotonic,
            meter=self._metrics.link(org),
        )

    async def _run(self, session: Session, org: OrgId, role: str, address: str, backoff: Backoff | None) -> None:
        link = LiveLink(session, role, address, self._now_ms())
        self._table.add(org, link)
        try:
            async with asyncio.TaskGroup() as group:
                announcing = group.create_task(self._announce_ready(org, link, backoff))
                try:
                    await session.run()
                finally:
                    announcing.cancel()
        except BaseExceptionGroup as errors:
            raise ended_by(errors) from None
        finally:
            self._table.remove(org, link)
            if session.peer is not None:
                log.info("link closed", peer=str(session.peer), role=role, reason=str(session.failure))

    async def _announce_ready(self, org: OrgId, link: LiveLink, backoff: Backoff | None) -> None:
        await link.session.ready.wait()
        if link.session.is_open:
            self._failures.pop(org, None)
            self._table.announce()
            self._metrics.links_opened.labels(org, link.role).inc()
            log.info("link open", peer=str(link.session.peer), role=link.role, address=link.address)
            if backoff is not None:
                backoff.reset()

    # --- what sessions ask of us

    async def _export(self, session: Session, lane: ExportLane) -> None:
        assert session.peer is not None
        request = self._request(session.peer.org, lane)

        def authorize() -> int | None:
            decision = self._registry.decide(request, self._now_ms())
            if not decision.allowed:
                self._metrics.refusals.labels(request.peer, decision.reason).inc()
            decision.require()
            return decision.until_ms

        meter = self._metrics.lane(request.peer, request.share, "export")
        try:
            async with self._until(authorize()):
                await export_lane(self._cluster, lane, authorize, self._settings.export, meter)
        except TimeoutError as error:
            raise ShareNotAvailable(request.share) from error
        except MeshError as error:
            log.warning("lane refused", peer=str(session.peer), lane=str(request), code=error.code, reason=str(error))
            raise public(error, request.share) from error

    def _until(self, end_ms: int | None) -> asyncio.Timeout:
        """The end of a grant, as a timer: an idle lane ends with it, too."""
        return asyncio.timeout(None if end_ms is None else max(0, end_ms - self._now_ms()) / 1000)

    @staticmethod
    def _request(org: OrgId, lane: ExportLane) -> Request:
        opening = lane.opening
        return Request(org, ShareName(opening.share), TopicName(opening.topic), opening.partition)

    async def _answer(self, session: Session, body: object) -> object:
        assert session.peer is not None
        return await self._answers.answer(session.peer.org, body)

    # --- gateway.services.Links

    def status(self) -> list[LinkStatus]:
        return [
            LinkStatus(org, _gateway(link.session.peer), link.role, link.since_ms, link.address)
            for org, link in self._table.all()
            if link.session.is_open
        ]

    def exports(self) -> list[dict[str, object]]:
        return [
            {
                "peer": str(org),
                "share": lane.opening.share,
                "topic": lane.opening.topic,
                "partition": lane.opening.partition,
                "position": lane.position,
                "acknowledged": lane.acknowledged,
                "log_end": lane.log_end,
            }
            for org, link in self._table.all()
            for lane in link.session.exports()
        ]

    async def wait(self, peer: OrgId) -> Session:
        return (await self._table.wait(peer)).session

    async def catalog(self, peer: OrgId) -> catalog_pb2.CatalogReply:
        reply = await self._ask(peer, catalog_pb2.CatalogRequest())
        assert isinstance(reply, catalog_pb2.CatalogReply)
        return reply

    async def digests(
        self, peer: OrgId, share: ShareName, topic: TopicName, partition: int, start: int, end: int, max_records: int
    ) -> DigestPage:
        body = link_pb2.DigestRequest(
            share=share,
            topic=topic,
            partition=partition,
            source_offset=start,
            end_source_offset=end,
            max_records=max_records,
        )
        reply = await self._ask(peer, body)
        assert isinstance(reply, link_pb2.DigestReply)
        offsets, offset = [], start
        for delta in reply.offset_deltas:
            offset += delta
            offsets.append(offset)
        digests = [reply.digests[at : at + 16] for at in range(0, len(reply.digests), 16)]
        return DigestPage(offsets, digests, reply.next_source_offset)

    async def _ask(self, peer: OrgId, body: object) -> object:
        self._registry.peer(peer)
        link = self._table.current(peer)
        if link is None:
            raise PeerUnreachable(peer, str(self._failures.get(peer) or "it has not connected"))
        reply = await link.session.ask(body)
        if isinstance(reply, link_pb2.Refusal):
            raise PeerRefusedRequest(peer, reply.code, reply.detail)
        return reply

    # --- trust

    def _peer_trust(self) -> dict[OrgId, PeerTrust]:
        return {org: self._trust_of(peer) for org, peer in self._registry.peers.items()}

    @staticmethod
    def _trust_of(peer: Peer) -> PeerTrust:
        return PeerTrust(peer.state, peer.bundle, dns_name=peer.dns_name)


def _gateway(peer: GatewayId | None) -> str:
    return str(peer) if peer is not None else ""
