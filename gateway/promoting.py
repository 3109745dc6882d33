"""The strict cut of a subscription: the mirror ends for ever, its topics become the owner's.

Order: the state `promoting` is durable, the lanes have stopped, each lane's producer is cut, the state `promoted` is
durable. From the first step there is no way back; whatever interrupts the rest, it is done at the next try or start.

A. Whoever still believes to own a lane, a gateway that was paused or cut off among them, is refused after the cut.
B. The lanes' state stays: offsets translate and gaps answer as before.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import ClassVar

import structlog

from gateway.registry import Registry
from gateway.services import Lanes
from gateway.stored_lanes import stored_lanes
from mesh.cluster_errors import PartitionAbsent, TopicAbsent
from mesh.errors import MeshError, OperatorError
from mesh.ids import LaneId, Partition, SubscriptionName
from mesh.lanes.checkpoint import Checkpoint, load_lane, prefix, producer_name
from mesh.ports import Cluster
from mesh.shares import Subscription, SubscriptionState

log = structlog.get_logger()

RETRY_S = 15.0
"""Between two tries of what could not be finished."""


@dataclass(eq=False)
class PromotionUnfinished(OperatorError):
    subscription: str

    code: ClassVar[str] = "promotion-unfinished"
    sentence: ClassVar[str] = "subscription '{subscription}' is being promoted, but its lanes have not stopped yet"
    hint: ClassVar[str] = "it is finished by itself as soon as they have; see: mesh subscription show {subscription}"
    retriable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class PromotedLane:
    """One lane after its cut."""

    topic: str
    partition: int
    destination_topic: str
    source_position: int
    """The source offset that would have been next."""
    destination_end: int
    """The log's end after the cut, which may have taken an offset; -1 where the destination is gone."""
    unmapped: int
    """Mirrored records after the lane's last checkpoint: they are in the topic, their offsets do not translate."""


class Promoter:
    """`promote` is asked by the operator; `run` finishes what was interrupted."""

    def __init__(self, cluster: Cluster, registry: Registry, lanes: Lanes, stop_s: float) -> None:
        self._cluster = cluster
        self._registry = registry
        self._lanes = lanes
        self.stop_s = stop_s
        self._lock = asyncio.Lock()

    async def promote(self, name: str) -> list[PromotedLane]:
        """Returns when the cut holds. Raises SubscriptionAbsent, PromotionUnfinished and what the cluster raises."""
        subscription = await self._registry.begin_promotion(name)
        if not self._is_ours(subscription):
            await self._finished_elsewhere(subscription)
        async with self._lock:
            return await self._finish(subscription.name)

    def _is_ours(self, subscription: Subscription) -> bool:
        """Of several gateways only the owner of the first lane cuts: two at once would hold each other up.

        Where patterns have found no topic yet there is nothing to cut, and anybody's.
        """
        first = next(iter(subscription.topics), None)
        return first is None or self._cluster.ownership.owns(LaneId(subscription.name, first.source_topic, 0))

    async def _finished_elsewhere(self, subscription: Subscription) -> None:
        try:
            async with asyncio.timeout(self.stop_s):
                while self._registry.subscription(subscription.name).state is SubscriptionState.PROMOTING:
                    if self._is_ours(subscription):
                        return
                    await self._changed()
        except TimeoutError as error:
            raise PromotionUnfinished(subscription.name) from error

    async def _changed(self) -> None:
        """Returns when a subscription may have changed, or its owner."""
        async with asyncio.TaskGroup() as group:
            waits = [
                group.create_task(self._registry.wait_changed(self._registry.version)),
                group.create_task(self._cluster.ownership.wait_changed(self._cluster.ownership.version)),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def run(self) -> None:
        """Finish what an earlier run or a failure left, until cancelled."""
        while True:
            waits = False
            for name in self._unfinished():
                try:
                    async with self._lock:
                        await self._finish(name)
                except MeshError as error:
                    waits = True
                    log.warning("promotion not finished", subscription=name, code=error.code, reason=str(error))
            if waits:
                await asyncio.sleep(RETRY_S)
            elif not self._unfinished():
                await self._changed()

    def _unfinished(self) -> list[SubscriptionName]:
        found = self._registry.subscriptions.values()
        return [each.name for each in found if each.state is SubscriptionState.PROMOTING and self._is_ours(each)]

    async def _finish(self, name: SubscriptionName) -> list[PromotedLane]:
        subscription = self._registry.subscription(name)
        is_done = subscription.state is SubscriptionState.PROMOTED
        if not is_done:
            await self._stopped(subscription)
        promoted = [
            await self._promoted(subscription, lane, is_done=is_done)
            for lane in await stored_lanes(self._cluster.lanes, subscription)
        ]
        if not is_done:
            await self._registry.finish_promotion(name)
        return promoted

    async def _stopped(self, subscription: Subscription) -> None:
        try:
            async with asyncio.timeout(self.stop_s):
                await self._lanes.stopped(subscription.name)
        except TimeoutError as error:
            raise PromotionUnfinished(subscription.name) from error

    async def _promoted(self, subscription: Subscription, lane: LaneId, *, is_done: bool) -> PromotedLane:
        stored = load_lane(lane, await self._cluster.lanes.load(prefix(lane)))
        topic = subscription.destination_of(lane.topic)
        assert stored is not None, lane
        assert topic is not None, lane
        checkpoint, place = stored[0], Partition(topic, lane.partition)
        try:
            end, unmapped = await self._cut(lane, checkpoint, place, is_done=is_done)
        except (TopicAbsent, PartitionAbsent):  # the owner has deleted it: nobody can write there
            end, unmapped = -1, 0
        return PromotedLane(lane.topic, lane.partition, topic, checkpoint.source_position, end, unmapped)

    async def _cut(self, lane: LaneId, checkpoint: Checkpoint, place: Partition, *, is_done: bool) -> tuple[int, int]:
        destination = self._cluster.destination
        if not is_done:
            await destination.cut(producer_name(lane), checkpoint.producer, [place])
        found = await destination.witness(place, checkpoint.producer, checkpoint.destination_offset)
        return found.range.end, sum(batch.records for batch in found.own)


def shown(promoted: PromotedLane) -> dict[str, object]:
    return asdict(promoted)
