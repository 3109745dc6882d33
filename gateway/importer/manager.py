"""Which lanes run: wanted (the registry's subscriptions of active peers) against running, reconciled in a loop.

A subscription's lanes follow from what the provider's catalog offers (`following`), one catalog after another; this
gateway runs those of them that it owns, and follows as that changes. A subscription that was resumed is another value
of the registry, even if nothing in it changed, so its lanes are started anew. What was started of a subscription, or of
a lane, has ended before it is started again; nothing else waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Protocol

import structlog

from gateway.importer.catalogs import CatalogLinks, Catalogs
from gateway.importer.errors import LaneBroken, LaneElsewhere, SubscriptionChanged
from gateway.importer.following import follow
from gateway.importer.lane import LaneRunner, LaneSettings, PeerLinks
from gateway.importer.marks import Marks
from gateway.importer.running import Running, statuses_of
from gateway.importer.sweeping import sweep
from gateway.importer.terms import TopicTerms
from gateway.meters import LaneMeter
from gateway.peers.errors import PeerCut
from gateway.registry import Registry
from gateway.stored_lanes import stored_checkpoints
from mesh.backoff import Backoff
from mesh.errors import MeshError, NetworkError
from mesh.ids import LaneId, OrgId, ShareName, SubscriptionName
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.lanes.status import LaneStatus
from mesh.lanes.watch import SourceWatch, watched
from mesh.offsets.view import OffsetView
from mesh.ports import Cluster
from mesh.shares import PeerState, Subscription, SubscriptionState

log = structlog.get_logger()

LOOK_S = 2.0
"""How old what is shown of other gateways' lanes may be."""
STOPPED_LOOK_S = 0.1
ASKED_AGAIN_S = 0.2
"""Before a provider that has just answered is asked for its next catalog, whatever it is up to."""
ASKED_ANEW_S = 5.0
"""Before the catalog is gone through again: one that says no digest, or that could not be followed in everything."""


class Links(PeerLinks, CatalogLinks, Protocol):
    @property
    def organization(self) -> OrgId:
        """Our own."""


class ImportManager:
    """`run` keeps the lanes going; the rest answers questions about them."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        links: Links,
        settings: LaneSettings,
        *,
        now_ms: Callable[[], int],
        random: Random,
        meter: Callable[[OrgId, ShareName], LaneMeter] | None = None,
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._links = links
        self._catalogs = Catalogs(links)
        self.settings = settings
        """May be replaced: lanes that begin from then on take it."""
        self._now_ms = now_ms
        self._random = random
        self._meter = meter
        self._running: dict[SubscriptionName, Running] = {}
        self._ended: dict[SubscriptionName, Subscription] = {}
        """What ran of those that are about to start anew."""
        self._terms = TopicTerms(cluster.topics)
        self._watches: dict[LaneId, SourceWatch] = {}
        """What was last heard of the sources of lanes that do not run."""
        self._begun = False
        self._marks = Marks(cluster)

    async def run(self) -> None:
        """Reconcile until cancelled; every lane has settled when this returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(sweep(self._cluster, self._registry))
            while True:
                version = self._registry.version
                self._take_over()
                held = {name for name, one in self._running.items() if one.is_held}
                ending = self._stop_unwanted()
                for subscription in self._registry.subscriptions.values():
                    if subscription.name not in self._running:
                        # What was found before the gateway was told to go on with the subscription is accepted; what
                        # is found at a start, when its peer is active again, or after another change, is not.
                        told = self._begun and subscription.name not in held and self._is_told(subscription)
                        self._start(group, subscription, accept_foreign=told)
                self._begun = True
                changed = group.create_task(self._registry.wait_changed(version))
                await asyncio.wait([changed, *ending], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()

    def _is_told(self, subscription: Subscription) -> bool:
        """Whether the operator has just asked for the subscription to run: made it, or resumed it."""
        before = self._ended.pop(subscription.name, None)
        return before is None or before == subscription or before.state is not subscription.state

    def _take_over(self) -> None:
        """Changes that are none of the lanes' business disturb none of them."""
        for name, one in self._running.items():
            known = self._registry.subscriptions.get(name)
            if known is None or known == one.subscription or not known.runs_like(one.subscription):
                continue
            told = (
                known.follow_config is not one.subscription.follow_config or known.patterns != one.subscription.patterns
            )
            one.subscription = known
            if told and one.following is not None:
                one.following.cancel()  # it waits for another offer; what it knows is to be gone through anew
                one.offered.set()

    def _stop_unwanted(self) -> list[asyncio.Task[None]]:
        """Cancel what is not wanted and forget what of it has ended; the tasks that have not."""
        ending = []
        for name, one in list(self._running.items()):
            if self._is_wanted(one):
                continue
            if one.task is None or one.task.done():
                self._watches |= {lane: runner.watch for lane, runner in one.lanes.items()}
                del self._running[name]
                self._ended[name] = one.subscription
                if name not in self._registry.subscriptions:
                    self._watches = {lane: kept for lane, kept in self._watches.items() if lane.subscription != name}
                continue
            if not one.task.cancelling():
                one.task.cancel()
            ending.append(one.task)
        return ending

    def _is_wanted(self, one: Running) -> bool:
        subscription = one.subscription
        known = self._registry.subscriptions.get(subscription.name)
        return known is subscription and one.is_held is not self._may_import(subscription.peer)

    def _may_import(self, org: OrgId) -> bool:
        peer = self._registry.peers.get(org)
        return peer is not None and peer.state is PeerState.ACTIVE

    def _start(self, group: asyncio.TaskGroup, subscription: Subscription, *, accept_foreign: bool) -> None:
        running = Running(subscription, is_held=not self._may_import(subscription.peer))
        self._running[subscription.name] = running
        group.create_task(self._look(running))
        if running.is_held:
            running.waiting = self._not_active(subscription.peer)
        elif subscription.state is SubscriptionState.ACTIVE:
            running.task = group.create_task(self._run(running, accept_foreign=accept_foreign))

    def _permit(self, subscription: Subscription, lane: LaneId, term: int) -> None:
        """Asked at the moment of each append. Raises LaneElsewhere, PeerCut, SubscriptionChanged."""
        if self._cluster.ownership.term(lane) != term:
            raise LaneElsewhere(str(lane), self._cluster.ownership.owner(lane))
        if not self._may_import(subscription.peer):
            raise self._not_active(subscription.peer)
        known = self._registry.subscriptions.get(subscription.name)
        if known is None or not known.runs_like(subscription) or known.state is not SubscriptionState.ACTIVE:
            raise SubscriptionChanged(subscription.name)

    def _not_active(self, org: OrgId) -> PeerCut:
        peer = self._registry.peers.get(org)
        return PeerCut(org, peer.state if peer is not None else "removed")

    async def _look(self, running: Running) -> None:
        """A task of its own: nothing waits for it, lanes that start and a revocation least of all."""
        name = running.subscription.name
        while True:
            running.stored = await stored_checkpoints(self._cluster.lanes, running.subscription)
            if not self._cluster.ownership.is_shared:
                return
            try:
                await self._marks.clear_dead(name, running.lanes)
            except MeshError as error:
                log.info("marks not read", subscription=name, code=error.code, reason=str(error))
            await asyncio.sleep(LOOK_S)
            if self._running.get(name) is not running:
                return

    async def _run(self, running: Running, *, accept_foreign: bool) -> None:
        ownership = self._cluster.ownership
        async with asyncio.TaskGroup() as group:
            while True:
                version = ownership.version
                running.offered.clear()
                if running.following is None or running.following.done():
                    running.following = group.create_task(self._follow(running))
                ending = self._stop_lost(running)
                new = [lane for lane in running.known if ownership.owns(lane) and lane not in running.lanes]
                await self._start_lanes(group, running, new, accept_foreign=accept_foreign)
                accept_foreign = accept_foreign and not running.known  # lanes that come later the operator did not see
                changed = group.create_task(ownership.wait_changed(version))
                offered = group.create_task(running.offered.wait())
                waits: list[asyncio.Task[Any]] = [changed, offered, running.following, *ending]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                offered.cancel()

    def _stop_lost(self, running: Running) -> list[asyncio.Task[None]]:
        """Cancel the lanes that are another gateway's now, or must not go on, and forget those that have ended.

        Answers the tasks that have not.
        """
        ending = []
        refused = running.followed.refused if running.followed is not None else set()
        for lane, task in list(running.tasks.items()):
            is_ours = self._cluster.ownership.term(lane) == running.terms[lane]
            if is_ours and lane.topic not in refused and not task.cancelling():
                continue
            if task.done():
                self._watches[lane] = running.lanes.pop(lane).watch
                del running.tasks[lane], running.terms[lane]
                continue
            if not task.cancelling():
                task.cancel()
            ending.append(task)
        return ending

    async def _start_lanes(
        self, group: asyncio.TaskGroup, running: Running, lanes: list[LaneId], *, accept_foreign: bool
    ) -> None:
        for lane in lanes:
            term = running.terms[lane] = self._cluster.ownership.term(lane)
            running.lanes[lane] = self._runner(running.subscription, lane, term, accept_foreign=accept_foreign)
        if not lanes or not await self._mark(running, lanes):
            return
        for lane in lanes:
            running.tasks[lane] = group.create_task(self._run_lane(running.lanes[lane], lane))

    async def _mark(self, running: Running, lanes: list[LaneId]) -> bool:
        """Whether they may start; otherwise they are forgotten, and what changed will tell."""
        backoff = Backoff(self.settings.retry_initial_s, self.settings.retry_max_s, self._random)
        while True:
            try:
                await self._marks.set(running.subscription, lanes)
            except MeshError as error:
                if isinstance(error, SubscriptionChanged) or not all(map(self._cluster.ownership.owns, lanes)):
                    await self._forget(running, lanes)
                    return False
                log.info("lanes not started", subscription=running.subscription.name, reason=str(error))
            else:
                return True
            await asyncio.sleep(backoff.next_s())

    async def _forget(self, running: Running, lanes: list[LaneId]) -> None:
        for lane in lanes:
            del running.lanes[lane], running.terms[lane]
            await self._marks.clear(lane)

    def _runner(self, subscription: Subscription, lane: LaneId, term: int, *, accept_foreign: bool) -> LaneRunner:
        return LaneRunner(
            self._cluster,
            self._links,
            subscription,
            lane,
            self.settings,
            accept_foreign=accept_foreign,
            now_ms=self._now_ms,
            random=self._random,
            meter=self._meter(subscription.peer, subscription.share) if self._meter else None,
            permit=partial(self._permit, subscription, lane, term),
            watch=self._watches.pop(lane, None),
            terms=self._terms,
            origin=partial(self._origin, lane),
        )

    def _origin(self, lane: LaneId) -> str:
        """What stands for the path by which its records come, as far as we know."""
        running = self._running.get(lane.subscription)
        followed = running.followed if running is not None else None
        return followed.origins.get(lane.topic, "") if followed is not None else ""

    async def _run_lane(self, runner: LaneRunner, lane: LaneId) -> None:
        try:
            await _logged(runner, lane)
        finally:
            await self._marks.clear(lane)

    async def _follow(self, running: Running) -> None:
        """Go through one offer of the provider after another: an absent share may be granted at any time."""
        backoff = Backoff(self.settings.retry_initial_s, self.settings.retry_max_s, self._random)
        known = b""
        while True:
            try:
                known = await self._next_offer(running, known)
                running.waiting = None
                backoff.reset()
                pause_s = ASKED_AGAIN_S if known else ASKED_ANEW_S
            except MeshError as error:
                running.waiting, known, pause_s = error, b"", backoff.next_s()
            except Exception as error:  # a mistake of ours for one subscription must not end the others
                log.exception("subscription failed", subscription=str(running.subscription.name))
                running.waiting = LaneBroken(str(running.subscription.name), type(error).__name__)
                known, pause_s = b"", backoff.next_s()
            await asyncio.sleep(pause_s)

    async def _next_offer(self, running: Running, known: bytes) -> bytes:
        """What stands for the catalog that was gone through; empty where it is to be asked for anew in any case."""
        peer = running.subscription.peer
        await self._links.wait(peer)
        catalog = await self._catalogs.next(peer, known)
        if catalog.unchanged:
            return known
        own = self._links.organization
        followed = await follow(self._cluster, self._registry, running.subscription, catalog, own)
        self._take_over()
        running.followed, running.known = followed, followed.lanes
        running.offered.set()
        return b"" if followed.may_pass else catalog.digest

    # --- asked from outside

    def statuses(self) -> list[LaneStatus]:
        ownership = self._cluster.ownership
        found = [status for running in self._running.values() for status in statuses_of(running, ownership)]
        return [self._watched(status) for status in found]

    def _watched(self, status: LaneStatus) -> LaneStatus:
        running = self._running.get(status.lane.subscription)
        runner = running.lanes.get(status.lane) if running is not None else None
        watch = runner.watch if runner is not None else self._watches.get(status.lane, SourceWatch())
        return watched(status, watch, self._now_ms())

    async def stopped(self, name: SubscriptionName) -> None:
        """Returns once no lane of a paused or deleted subscription runs or writes, at any gateway."""
        while (running := self._running.get(name)) is not None and running.task is not None:
            if running.task.done():
                break
            await asyncio.wait([running.task])
        while await self._marks.lanes(name):  # noqa: ASYNC110  # other gateways tell nobody
            await asyncio.sleep(STOPPED_LOOK_S)

    async def peer_stopped(self, org: OrgId) -> None:
        """Returns once no lane from a peer that is not active runs or writes, at any gateway."""
        while not self._may_import(org):
            tasks = [
                one.task for one in self._running.values() if one.subscription.peer == org and one.task is not None
            ]
            alive = [task for task in tasks if not task.done()]
            if alive:
                await asyncio.wait(alive)
            elif not await self._runs_elsewhere(org):
                return
            else:
                await asyncio.sleep(STOPPED_LOOK_S)

    async def _runs_elsewhere(self, org: OrgId) -> bool:
        """Also where it cannot be known at this moment."""
        names = [one.name for one in self._registry.subscriptions.values() if one.peer == org]
        try:
            return any([await self._marks.lanes(name) for name in names])
        except NetworkError:
            return True

    async def offset_map(self, lane: LaneId) -> OffsetView | None:
        """The lane's map as far as it is durable, None for a lane that has not begun. Raises LaneStateDamaged."""
        running = self._running.get(lane.subscription)
        runner = running.lanes.get(lane) if running is not None else None
        if runner is not None and (view := runner.view()) is not None:
            return view
        stored = load_lane(lane, await self._cluster.lanes.load(prefix(lane)))
        if stored is None:
            return None
        checkpoint, offset_map = stored
        return OffsetView(offset_map, checkpoint.source_position, checkpoint.destination_offset)


async def _logged(runner: LaneRunner, lane: LaneId) -> None:
    await runner.run()
    status = runner.status()
    log.error("lane stopped", lane=str(lane), code=status.code, reason=status.reason, remedy=status.remedy)
