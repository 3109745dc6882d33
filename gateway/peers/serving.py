"""What peers get of us over a link: lanes, as their grants allow at each moment, and answers to questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

import structlog

from gateway.exporter import ExportSettings, export_lane
from gateway.link.lanes import ExportLane
from gateway.link.session import Session
from gateway.metrics import Metrics
from gateway.peers.answers import Answers
from gateway.peers.public import public
from gateway.registry import Registry
from gateway.shared_fetches import SharedFetches
from gateway.turns import Turns
from gateway.waking import Waking
from mesh.errors import CallerError, MeshError
from mesh.ids import OrgId, Partition, ShareName, TopicId, TopicName
from mesh.origins import OriginChanged, path_here, path_token
from mesh.policy import Decision, Request, ShareNotAvailable
from mesh.ports import Cluster

log = structlog.get_logger()


class Serving:
    """Sessions call `export` for each lane that a peer opens, and `answer` for each question."""

    def __init__(
        self,
        cluster: Cluster,
        registry: Registry,
        settings: ExportSettings,
        metrics: Metrics,
        answers: Answers,
        now_ms: Callable[[], int],
        organization: Callable[[], OrgId],
    ) -> None:
        self._organization = organization
        self._fetches = SharedFetches(
            cluster.source, settings.shared_bytes, lambda by: metrics.source_fetches.labels(by).inc()
        )
        self._cluster = cluster
        self._registry = registry
        self._settings = settings
        self._metrics = metrics
        self._answers = answers
        self._now_ms = now_ms
        self._turns: WeakKeyDictionary[Session, Turns] = WeakKeyDictionary()
        self._changed = Waking()
        self._served: list[Request] = []
        self._ends: dict[ExportLane, asyncio.Timeout] = {}

    async def export(self, session: Session, lane: ExportLane) -> None:
        assert session.peer is not None
        request = request_of(session.peer.org, lane)

        def authorize() -> int | None:
            decision = self._decide(request.peer, lane)
            if not decision.allowed:
                self._metrics.refused(request.peer, decision.reason)
            decision.require()
            self._require_origin(lane)
            return decision.until_ms

        meter = self._metrics.lane(request.peer, request.share, "export")
        self._served.append(request)
        try:
            async with asyncio.timeout_at(self._end_s(authorize())) as grant_end:
                self._ends[lane] = grant_end
                with self._fetches.reading(Partition(lane.opening.topic, lane.opening.partition)) as source:
                    cluster = replace(self._cluster, source=source)
                    await export_lane(cluster, lane, authorize, self._settings, meter, self._turns_of(session))
        except TimeoutError as error:
            if not grant_end.expired():
                raise
            raise ShareNotAvailable(request.share) from error
        except MeshError as error:
            log.warning("lane refused", peer=str(session.peer), lane=str(request), code=error.code, reason=str(error))
            raise public(error, request.share) from error
        finally:
            self._ends.pop(lane, None)
            self._served.remove(request)
            self._changed.wake()

    def _end_s(self, end_ms: int | None) -> float | None:
        """The end of a grant by the loop's clock, for a timer: an idle lane ends with it, too."""
        left_s = None if end_ms is None else max(0, end_ms - self._now_ms()) / 1000
        return None if left_s is None else asyncio.get_running_loop().time() + left_s

    def _goes_on(self, org: OrgId, lane: ExportLane) -> bool:
        """Whether the peer may read the lane now; if so, its timer is set to the end that the grant has now."""
        try:
            decision = self._decide(org, lane)
        except CallerError:  # the peer asked for a name that cannot be: its lane is about to end by that
            return False
        timer = self._ends.get(lane)
        if decision.allowed and timer is not None and not timer.expired():
            timer.reschedule(self._end_s(decision.until_ms))
        return decision.allowed

    def _decide(self, org: OrgId, lane: ExportLane) -> Decision:
        """As of now, by the topic's id as soon as it is known. Raises IllegalName."""
        topic_id = TopicId(lane.topic_id) if lane.topic_id else None
        return self._registry.decide(replace(request_of(org, lane), topic_id=topic_id), self._now_ms())

    def _require_origin(self, lane: ExportLane) -> None:
        """Raises OriginChanged unless the importer knows the path by which the records came (`mesh.origins`, B)."""
        if lane.topic_id:
            topic_id = TopicId(lane.topic_id)
            path = path_here(self._registry.origins.get(topic_id), self._organization(), topic_id)
            if path_token(path) != lane.opening.origin:
                raise OriginChanged(lane.opening.topic)

    def _turns_of(self, session: Session) -> Turns:
        return self._turns.setdefault(session, Turns(self._settings.ahead_bytes))

    def cut_unwanted(self, org: OrgId, session: Session) -> None:
        """End the lanes of a link that its peer may no longer read, or not by the path that it knows."""
        for lane in session.exports():
            if not self._goes_on(org, lane):
                session.end_export(lane, "not-available", f"share '{lane.opening.share}' is not available")
                continue
            try:
                self._require_origin(lane)
            except OriginChanged as error:
                session.end_export(lane, error.code, str(error), retriable=True)

    async def wait_unserved(self, org: OrgId, share: ShareName | None = None) -> None:
        """Return once nothing (of `share`) is being read for `org`."""
        while any(each.peer == org and share in {None, each.share} for each in self._served):
            await self._changed.wait()

    async def answer(self, session: Session, body: object) -> object:
        assert session.peer is not None
        return await self._answers.answer(session.peer.org, body)


def request_of(org: OrgId, lane: ExportLane) -> Request:
    """Raises IllegalName where the peer asked for a name that cannot be."""
    opening = lane.opening
    return Request(org, ShareName(opening.share), TopicName(opening.topic), opening.partition)
