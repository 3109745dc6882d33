"""What destination topics take, asked of the cluster when a lane begins to run.

A thousand lanes of one topic start together: the first one asks, and for a few seconds its answer serves the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.importer.errors import DestinationTopicUnfit
from mesh.lanes.timestamps import TimestampLimits
from mesh.log import Topic
from mesh.ports import Topics

FRESH_S = 5.0
LEAST_LIKELY_BATCH_BYTES = 1_000_000
"""What a topic takes whose log does not say: every log's default is above it."""


class TopicTerms:
    """Shared by the lanes of one gateway."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._turns: dict[str, asyncio.Lock] = {}
        self._known: dict[str, tuple[float, Topic]] = {}

    async def timestamps(self, topic: str) -> TimestampLimits:
        """Raises TopicAbsent, DestinationTopicUnfit where the topic stamps records itself."""
        in_force = (await self._described(topic)).in_force
        try:
            check_keeps_timestamps(topic, in_force)
        except DestinationTopicUnfit:
            self._known.pop(topic, None)  # whoever has put it right and resumes is not to be told the same again
            raise
        return TimestampLimits.of(in_force)

    async def max_batch_bytes(self, topic: str) -> int:
        """The largest batch that it takes, as far as is known. Raises TopicAbsent."""
        stated = (await self._described(topic)).setting("max.message.bytes")
        return int(stated) if stated is not None else LEAST_LIKELY_BATCH_BYTES

    async def _described(self, topic: str) -> Topic:
        async with self._turns.setdefault(topic, asyncio.Lock()):
            now_s = asyncio.get_running_loop().time()
            asked_s, known = self._known.get(topic, (-FRESH_S, None))
            if known is None or now_s - asked_s >= FRESH_S:
                known = await self._topics.describe(topic)
                self._known[topic] = (now_s, known)
            return known


def check_keeps_timestamps(topic: str, in_force: Mapping[str, str]) -> None:
    """Raises DestinationTopicUnfit: such a topic takes any record, and shows readers another timestamp."""
    if in_force.get("message.timestamp.type") == "LogAppendTime":
        raise DestinationTopicUnfit(
            topic, "it stamps records at append, not as its source did: set its message.timestamp.type to CreateTime"
        )
