"""What an application may ask of the gateway beside it, as one class over plain values: neither gRPC nor HTTP.

Errors are MeshErrors: those of `mesh.local.errors`, of the cluster (TopicAbsent, PartitionAbsent, ClusterUnreachable
…), of the registry, and TopicMirrored. Nothing is half done where one is raised, except where its sentence says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from gateway.health import Health
from gateway.local.reading import Reading
from gateway.local.values import (
    Cursor,
    LocalStatus,
    LocalSubscription,
    LocalTopic,
    OfferedTopics,
    Outcome,
    Published,
    PublishRequest,
    ReadQuery,
    Translation,
)
from gateway.services import Services


class LocalApi:
    """One for a gateway; both listeners use it. `close` when both are closed."""

    def __init__(self, services: Services, health: Health, stop: Callable[[], None]) -> None:
        self.services = services
        self.health = health
        self.stop = stop
        """Begins the shutdown of the gateway."""

    async def publish(self, request: PublishRequest) -> Published:
        """Append the records; answers when they are durable.

        Raises RequestRefused, RecordTooLarge, IllegalName, TopicAbsent, PartitionAbsent, TopicMirrored,
        IdempotencyKeyReused, KeysNotKept, PublishBusy (nothing was appended); PublishIncomplete (a part of them is
        durable, the error says how many); PublishUnknown (nobody can tell yet: repeat it under the same key).
        """
        raise NotImplementedError

    def publish_many(self, requests: AsyncIterable[PublishRequest]) -> AsyncIterator[Outcome]:
        """The same for many at once: an outcome each, in their order.

        No request is begun after one failed: outcomes are given of those that were begun, then it ends. Requests
        without an outcome were not appended.
        """
        raise NotImplementedError

    def read(self, query: ReadQuery) -> AbstractAsyncContextManager[Reading]:
        """`async with api.read(query) as reading`: entered when it is known where each partition begins.

        Raises RequestRefused, IllegalName, IllegalStart, TopicAbsent, PartitionAbsent, CursorInUse, OffsetOutOfRange
        (a position that the log does not hold), TooManyReaders.
        """
        raise NotImplementedError

    async def commit(self, cursor: str, topic: str, positions: Mapping[int, int], lease: str = "") -> None:
        """Everything before the positions is done with. All or none of them are stored.

        Raises LeaseLost, CursorInUse (no lease was given while somebody reads by it), PartitionAbsent, TopicAbsent,
        PositionOutsideLog, GroupNotEmpty (consumers of the cluster's own protocol have the group).
        """
        raise NotImplementedError

    async def cursor(self, cursor: str, topic: str) -> Cursor:
        """Raises CursorAbsent, TopicAbsent."""
        raise NotImplementedError

    async def delete_cursor(self, cursor: str, topic: str) -> None:
        """Forget its positions in `topic`. Raises CursorAbsent, CursorInUse, TopicAbsent, GroupNotEmpty."""
        raise NotImplementedError

    async def topics(self) -> Sequence[LocalTopic]:
        """The topics of the own cluster, by name."""
        raise NotImplementedError

    async def catalog(self, peer: str = "") -> OfferedTopics:
        """What `peer`, or where empty every active peer, shares with us. Raises PeerAbsent, PeerNotActive; of a peer
        that was named also what prevents asking it."""
        raise NotImplementedError

    async def subscribe(
        self, peer: str, share: str, topics: Mapping[str, str], start: str = "", name: str = ""
    ) -> LocalSubscription:
        """`topics`: from names at the provider to local names, empty: all under their own. `start`: empty is earliest.
        `name`: empty is the share's. Raises what subscribing raises."""
        raise NotImplementedError

    def subscriptions(self) -> Sequence[LocalSubscription]:
        """By name."""
        raise NotImplementedError

    async def translate(
        self,
        subscription: str,
        topic: str,
        partition: int,
        *,
        source_offset: int | None = None,
        destination_offset: int | None = None,
    ) -> Translation:
        """The answer for one of the two offsets; `topic` is the provider's name.

        Raises RequestRefused (not exactly one offset), SubscriptionAbsent, TopicNotSubscribed, LaneNotBegun,
        IllegalOffset.
        """
        raise NotImplementedError

    def status(self) -> LocalStatus:
        raise NotImplementedError

    async def close(self) -> None:
        """Take nothing more; what is under way becomes durable or is given up. Readings end."""
        raise NotImplementedError
