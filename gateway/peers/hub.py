"""The hub: one place that makes links, accepts them, hands them out and cuts them.

Strategy: `Dialling` makes links, sessions of accepted calls run in their handlers, `Serving` serves their lanes,
`Questions` asks over them. Each change of the registry is applied at once: trust of the listener, links of peers that
may no longer be spoken to, lanes whose grant is gone.

A. A link lives only while its peer may greet (it is active, or pending and approved) and its leaf would be accepted
   now: both are checked again at each change, and a timer ends it with the leaf.
B. One peer's bundle, leaf or flood of links concerns that peer only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from secrets import token_bytes
from typing import Any

import structlog

from gateway.attempts import AttemptLimit
from gateway.audit.actor import acting
from gateway.exporter import ExportSettings
from gateway.failing import ended_by
from gateway.link.ports import FrameStream, SessionLimits
from gateway.link.session import Session
from gateway.metrics import Metrics
from gateway.peers.answers import Answers
from gateway.peers.dialling import Dialling, backoff_of
from gateway.peers.errors import FeatureMissing, LeafEnded, PeerCut, TooManyLinks
from gateway.peers.features import BARE_DIGESTS, FEATURES, GROUPS, MEASURES
from gateway.peers.questions import Questions
from gateway.peers.serving import Serving
from gateway.peers.sight import Sight
from gateway.peers.table import LinkTable, LiveLink
from gateway.peers.view import exports_shown, link_statuses
from gateway.registry import Registry
from gateway.rpc.authenticator import LinkAuthenticator
from gateway.rpc.credentials import ServerTrust, TransportLimits
from gateway.rpc.errors import TooManyCalls
from gateway.rpc.identity import Identity, authenticate, presented_leaf
from gateway.rpc.listener import Context
from gateway.rpc.streams import AcceptedStream, DialledStream
from gateway.services import DialFailure, DigestPage, LinkStatus, PeerSight
from mesh.backoff import Backoff
from mesh.errors import MeshError
from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, OrgId, ShareName, TopicName
from mesh.link.frames import Hello
from mesh.link.machine import Link
from mesh.link.window import Windows
from mesh.ports import Cluster
from mesh.shares import StartAt
from mesh.trust.cache import VerificationCache
from mesh.trust.errors import LeafReason, LeafRefused
from mesh.trust.leaf import PeerTrust, VerifiedLeaf, verified
from mesh.trust.pem import to_der
from mesh.wire.v1 import catalog_pb2, link_pb2

log = structlog.get_logger()

# Room in a frame for what is not batches: lengths of spans, of a very holey segment.
FRAME_OVERHEAD_BYTES = 1 << 20
# How long a provider may keep us waiting for a change of its catalog.
CATALOG_WAIT_S = 10.0
# A wall clock that is set, or a machine that slept, is noticed after this long at the latest.
CLOCK_CHECK_S = 5.0
# For the acknowledgement of the bundle by which a peer disowns the leaf of this very link. Its lanes end before.
LAST_WORDS_S = 0.3


@dataclass(frozen=True, slots=True)
class HubSettings:
    session: SessionLimits
    export: ExportSettings
    transport: TransportLimits
    max_frame_bytes: int
    heartbeat_s: float
    reconnect_initial_s: float
    reconnect_max_s: float
    max_links_per_peer: int = 16
    """Links that one peer may have open to us: one for each of its gateways, and some that are about to end."""
    calls_burst: int = 200
    calls_per_s: float = 20.0
    """Of one peer: beyond, nothing is made of a stream, whether it is to be used or to be reset."""


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
        self._registry = registry
        self.settings = settings
        """May be replaced: links that begin from then on take their limits, features and heartbeats from it."""
        self._now_ms = now_ms
        self._metrics = metrics or Metrics()
        self._answers = Answers(cluster, registry, now_ms, lambda: self.organization)
        self._serving = Serving(
            cluster, registry, settings.export, self._metrics, self._answers, now_ms, lambda: self.organization
        )
        self._cache = VerificationCache()
        self._table = LinkTable()
        self._sight = Sight()
        self._windows = Windows(settings.session.windows_bytes)
        backoff = backoff_of(settings.reconnect_initial_s, settings.reconnect_max_s, random)
        self._dialling = Dialling(
            lambda: self._identity, registry, self._table, self._run_dialled, settings.transport, backoff, self._metrics
        )
        self._questions = Questions(self._table, self._dialling.why_down)
        self._refused_bundles: dict[OrgId, str] = {}
        self._calls = AttemptLimit(settings.calls_burst, settings.calls_per_s)
        self._greeters: list[Callable[[Session], Awaitable[None]]] = []
        self._stopping = False
        self.transport = settings.transport
        self.trust = ServerTrust(identity, [])
        self._apply_trust()

    @property
    def organization(self) -> OrgId:
        """Our own."""
        return self._identity.id.org

    # --- running

    async def run(self) -> None:
        """Apply the registry's changes until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                version = self._registry.version
                self._apply_trust()
                self._cut_unwanted()
                self._dialling.reconcile(group)
                await self._registry.wait_changed(version)

    def _apply_trust(self) -> None:
        refused = self.trust.update(self._identity, self._peer_trust().values())
        for org, why in refused.items():
            if self._refused_bundles.get(org) != why:
                log.error("a peer's bundle is refused: nobody can connect as it", peer=str(org), reason=why)
        self._refused_bundles = refused

    def _cut_unwanted(self) -> None:
        peers = self._peer_trust()
        for org, link in self._table.all():
            error = self._standing(org, link, peers)
            if error is not None:
                _cut(link, error)
            else:
                self._serving.cut_unwanted(org, link.session)

    def _standing(self, org: OrgId, link: LiveLink, peers: Mapping[OrgId, PeerTrust]) -> MeshError | None:
        """Why the link may not go on; None where it may (A)."""
        peer = peers.get(org)
        if peer is None or not peer.may_greet:
            return PeerCut(org, peer.state if peer else "removed")
        leaf = link.authenticator.leaf
        if leaf is not None:
            try:
                verified(to_der(leaf.certificate), peers, self._now())
            except LeafRefused as error:
                return error
        return None

    def update_identity(self, identity: Identity) -> None:
        """Show this leaf from now on. Links that we dialled are replaced before they end; accepted ones are let go.

        The peer of an accepted link dials again at once, and its handshake then sees the new leaf.
        """
        self._identity = identity
        self._apply_trust()
        self._dialling.renew()
        for _, link in self._table.all():
            if link.role == "acceptor":
                link.session.drain("renewed", "this gateway shows a new certificate")

    def on_open(self, greeter: Callable[[Session], Awaitable[None]]) -> None:
        """Run `greeter` beside each link from its opening on. Its MeshErrors are logged."""
        self._greeters.append(greeter)

    def answer_with(self, kind: type, answer: Callable[[OrgId, Any], Awaitable[object]]) -> None:
        """Answer requests of peers of this kind by `answer`; its MeshErrors become refusals."""
        self._answers.also[kind] = answer

    async def drain(self) -> None:
        """Say go-away on every link and wait until all have ended. No new ones are made."""
        self._stopping = True
        self._dialling.stop()
        for _, link in self._table.all():
            link.session.drain("stopping", "the gateway stops")
        await self._table.wait_empty()

    # --- links

    async def _run_dialled(self, org: OrgId, stream: DialledStream, address: str, backoff: Backoff) -> None:
        await self._run(self._link(stream, org, "dialler", address), org, backoff)

    def verify(self, context: Context) -> VerifiedLeaf:
        try:
            leaf = authenticate(context, self._peer_trust(), self._cache, self._now())
        except LeafRefused as error:
            self._metrics.refused("unverified", error.reason)
            self._sight.refused(presented_leaf(context), error, self._now_ms())
            raise
        if not self._calls.allows(leaf.id.org, time.monotonic()):
            self._metrics.refused(leaf.id.org, TooManyCalls.code)
            raise TooManyCalls(leaf.id.org)
        self._sight.accepted(leaf.id.org, presented_leaf(context), self._now_ms())
        return leaf

    async def accept(self, leaf: VerifiedLeaf, stream: AcceptedStream, address: str) -> None:
        if self._stopping:
            return
        org = leaf.id.org
        if self._table.count(org, "acceptor") >= self.settings.max_links_per_peer:
            self._metrics.refused(org, TooManyLinks.code)
            raise TooManyLinks(org, self.settings.max_links_per_peer)
        await self._run(self._link(stream, org, "acceptor", address, leaf), org, None)

    async def list_catalog(self, leaf: VerifiedLeaf) -> catalog_pb2.CatalogReply:
        return await self._answers.catalog(leaf.id.org)

    def _link(
        self, stream: FrameStream, org: OrgId, role: str, address: str, leaf: VerifiedLeaf | None = None
    ) -> LiveLink:
        hello = Hello(
            organization=self._identity.id.org,
            gateway=self._identity.id.name,
            nonce=token_bytes(32),
            features=FEATURES,
            max_frame_bytes=self.settings.max_frame_bytes,
            heartbeat_ms=int(self.settings.heartbeat_s * 1000),
            clock_ms=self._now_ms(),
        )
        authenticator = LinkAuthenticator(self._identity, self._peer_trust, org, self._now, leaf, self._leaf_refused)
        session = Session(
            Link(hello, dialler=role == "dialler", now_s=time.monotonic()),
            stream,
            authenticator=authenticator,
            export=self._serving.export,
            answer=self._serving.answer,
            limits=self.settings.session,
            clock=time.monotonic,
            meter=self._metrics.link(org),
            windows=self._windows,
        )
        return LiveLink(session, role, address, self._now_ms(), authenticator, self._identity)

    def _leaf_refused(self, certificate: bytes, error: LeafRefused) -> None:
        self._sight.refused(certificate, error, self._now_ms())

    async def _run(self, link: LiveLink, org: OrgId, backoff: Backoff | None) -> None:
        with acting(f"peer:{org}"):  # what is changed at its request is audited as its doing
            await self._run_link(link, org, backoff)

    async def _run_link(self, link: LiveLink, org: OrgId, backoff: Backoff | None) -> None:
        session = link.session
        self._table.add(org, link)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(org, link, backoff))
                try:
                    await session.run()
                finally:
                    watching.cancel()
        except BaseExceptionGroup as errors:
            raise ended_by(errors) from None
        finally:
            self._table.remove(org, link)
            if session.peer is not None:
                self._sight.alive(org, link.role, self._now_ms())
                log.info("link closed", peer=str(session.peer), role=link.role, reason=str(session.failure))

    async def _watch(self, org: OrgId, link: LiveLink, backoff: Backoff | None) -> None:
        """Make the link known when it has opened, and end it with the leaf by which it was opened."""
        await link.session.ready.wait()
        if not link.session.is_open:
            return
        if self._stopping:
            link.session.drain("stopping", "the gateway stops")
            return
        await self._registry.meet_peer(org)  # a pending peer that we approved has proven itself: active before all else
        assert link.session.peer is not None
        self._dialling.met(org, link.address if link.role == "dialler" else "", link.session.peer.name)
        leaf = link.authenticator.leaf
        assert leaf is not None
        if link.role == "dialler":
            self._sight.accepted(org, to_der(leaf.certificate), self._now_ms())
        if link.session.peer_hello is not None and link.session.peer_hello.clock_ms:
            link.clock_skew_ms = link.session.peer_hello.clock_ms - self._now_ms()
        self._table.announce()
        if self._is_second(org, link):
            link.session.drain("spare", "this gateway is linked already, by another of its addresses")
            return
        link.has_opened = True
        self._metrics.links_opened.labels(org, link.role).inc()
        log.info("link open", peer=str(link.session.peer), role=link.role, address=link.address)
        if backoff is not None:
            backoff.reset()
            self._drain_older(org)
        async with asyncio.TaskGroup() as group:
            # beside the timer: a peer that does not answer must not put it off
            greeting = group.create_task(self._greet_all(link.session))
            end = leaf.certificate.not_valid_after_utc
            while (left_s := (end - self._now()).total_seconds()) > 0:  # noqa: ASYNC110  # a clock that is set tells nobody
                await asyncio.sleep(min(left_s, CLOCK_CHECK_S))
            link.session.abort(LeafEnded(org, end.isoformat(timespec="seconds")))
            greeting.cancel()

    async def _greet_all(self, session: Session) -> None:
        for greeter in self._greeters:
            await self._greet(greeter, session)

    def _is_second(self, org: OrgId, link: LiveLink) -> bool:
        """Whether two addresses of the peer have led us to one gateway, and the other link opened before."""
        return any(
            other is not link
            and other.has_opened
            and other.role == link.role == "dialler"
            and other.session.peer == link.session.peer
            and other.address != link.address
            and other.identity is link.identity
            for other in self._table.open(org)
        )

    def _drain_older(self, org: OrgId) -> None:
        """The links that we dialled with an earlier leaf: their lanes go on over the new one."""
        for link in self._table.open(org):
            if link.role == "dialler" and link.identity is not self._identity:
                link.session.drain("renewed", "this gateway shows a new certificate")

    @staticmethod
    async def _greet(greeter: Callable[[Session], Awaitable[None]], session: Session) -> None:
        try:
            await greeter(session)
        except MeshError as error:
            log.warning("greeting failed", peer=str(session.peer), code=error.code, reason=str(error))

    # --- gateway.services.Links

    def status(self) -> list[LinkStatus]:
        return link_statuses(self._table)

    def sight(self, org: str) -> PeerSight:
        """What is known of a peer, or of a domain that claimed to be one, beside its links."""
        down = self._dialling.down(OrgId(org)).items()
        return PeerSight(
            bundle_refused=self._refused_bundles.get(org, ""),  # type: ignore[call-overload]  # as above
            down=tuple(DialFailure(address, error.code, str(error)) for address, error in down),
            is_linked=self._table.current(OrgId(org)) is not None,
            last_alive_ms=self._sight.last_alive(OrgId(org)),
            leaves=tuple(self._sight.leaves(org)),
        )

    def exports(self) -> list[dict[str, object]]:
        return exports_shown(self._table)

    async def wait(self, peer: OrgId, key: str = "") -> Session:
        """A live link to `peer`, as soon as there is one; of several gateways always the same one for one `key`."""
        return (await self._table.wait(peer, key)).session

    async def stopped(self, peer: OrgId, share: ShareName | None = None) -> None:
        """Returns once nothing (of `share`) is read for `peer`, and, without a share, no link to it is left."""
        await self._serving.wait_unserved(peer, share)
        if share is None:
            await self._table.wait_none(peer)

    async def ask(self, peer: OrgId, body: object, feature: str = "") -> object:
        """The peer's reply. Raises PeerAbsent, PeerUnreachable, PeerRefusedRequest, FeatureMissing, LinkLost."""
        self._require(peer, feature)
        return await self._questions.ask(peer, body)

    def _require(self, peer: OrgId, feature: str) -> None:
        """Raises PeerAbsent, FeatureMissing."""
        self._registry.peer(peer)
        link = self._table.current(peer)
        if feature and link is not None and feature not in link.session.features:
            raise FeatureMissing(peer, feature)

    async def catalog(self, peer: OrgId, known: bytes = b"") -> catalog_pb2.CatalogReply:
        self._registry.peer(peer)
        wait_s = min(CATALOG_WAIT_S, self.settings.session.request_s / 2)
        return await self._questions.catalog(peer, known, wait_s)

    async def measure(
        self, peer: OrgId, share: ShareName, topics: Sequence[str], start: StartAt
    ) -> link_pb2.MeasureReply:
        self._require(peer, MEASURES)
        return await self._questions.measure(peer, share, topics, start)

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
        self._require(peer, BARE_DIGESTS if bare else "")
        return await self._questions.digests(peer, share, topic, partition, start, end, max_records, bare=bare)

    async def group_positions(
        self, peer: OrgId, share: ShareName, group: GroupName | None, topics: Sequence[TopicName], *, with_ends: bool
    ) -> list[PeerGroup]:
        self._require(peer, GROUPS)
        return await self._questions.group_positions(peer, share, group, topics, with_ends=with_ends)

    async def group_commit(
        self, peer: OrgId, share: ShareName, group: GroupName, positions: Sequence[TopicPositions], *, backward: bool
    ) -> int:
        self._require(peer, GROUPS)
        return await self._questions.group_commit(peer, share, group, positions, backward=backward)

    # --- trust

    def _peer_trust(self) -> dict[OrgId, PeerTrust]:
        return {org: peer.trust for org, peer in self._registry.peers.items()}

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC)


def _cut(link: LiveLink, error: MeshError) -> None:
    """End lanes and link at once; where only the bundle has changed, the link may say its last words first."""
    if not isinstance(error, LeafRefused) or error.reason is not LeafReason.PATH_INVALID:
        link.session.abort(error)
        return
    if link.session.is_open:
        link.session.drain("untrusted", "the bundle does not vouch for this certificate any more")
    asyncio.get_running_loop().call_later(LAST_WORDS_S, link.session.abort, error)
