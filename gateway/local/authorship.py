"""As whom a partition is written: by a producer of our own, whose appends the log can be asked about (rule G)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.local.flights import Flight, Piece
from mesh.batch.stamp import Producer
from mesh.cluster_errors import TopicRecreated
from mesh.ids import Partition
from mesh.log import Topic
from mesh.ports import Cluster

IDLE_S = 60.0
"""After it, the log's end is asked for before something is appended: what it is searched from, should that fail."""


@dataclass(eq=False)
class Anonymous:
    """A producer that nobody else has, new whenever it is taken; the log knows nothing of what its records are."""

    cluster: Cluster
    topic: Topic
    partition: Partition
    _from: int = 0
    """Where nothing of ours lies beyond of which the fate is not known."""
    _asked_s: float = 0.0

    async def take(self) -> Producer:
        producer = await self.cluster.publishing.producer()
        await self._look()
        return producer

    async def refresh(self) -> bool:
        if asyncio.get_running_loop().time() - self._asked_s > IDLE_S:
            await self._look()
        return True

    @property
    def wants_rest(self) -> bool:
        return False

    def known(self, piece: Piece) -> Sequence[int] | None:
        return None

    def landed(self, piece: Piece, offsets: Sequence[int]) -> None:
        self._from = max(self._from, offsets[-1] + 1)
        self._asked_s = asyncio.get_running_loop().time()

    async def fates(self, producer: Producer, flights: Sequence[Flight]) -> dict[int, int] | None:
        return await fates(self.cluster, self.topic, self.partition, producer, self._from, flights)

    async def _look(self) -> None:
        self._from = (await self.cluster.source.range(self.partition)).end
        self._asked_s = asyncio.get_running_loop().time()


async def fates(
    cluster: Cluster, topic: Topic, partition: Partition, producer: Producer, start: int, flights: Sequence[Flight]
) -> dict[int, int]:
    """The base offsets of those flights of `producer` that the log holds from `start` on, by their place.

    Raises TopicRecreated, TopicAbsent and whatever prevents asking.
    """
    witnesses = await cluster.publishing.witness(partition, producer, start)
    if witnesses.topic_id not in {None, topic.topic_id}:
        raise TopicRecreated(topic.name, topic.topic_id, str(witnesses.topic_id))
    own = {(batch.base_sequence, batch.records): batch.base_offset for batch in witnesses.own}
    places = {place: (flight.batch.base_sequence, flight.batch.count) for place, flight in enumerate(flights)}
    return {place: own[batch] for place, batch in places.items() if batch in own}
