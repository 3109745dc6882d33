"""What an application may ask of the gateway beside it, as one class over plain values: neither gRPC nor HTTP.

Errors are MeshErrors: those of `mesh.local.errors`, of the cluster (TopicAbsent, PartitionAbsent, ClusterUnreachable
…), of the registry, and TopicMirrored. Nothing is half done where one is raised, except where its sentence says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from importlib import metadata

from gateway.admin.topics import mirrored_topics
from gateway.health import Health
from gateway.local.cursors import Cursors
from gateway.local.opening import Readings
from gateway.local.publishing import Publisher, PublishSettings
from gateway.local.reading import Reading, ReadSettings
from gateway.local.sharing import made_subscription, offered_topics, subscriptions_of, translated
from gateway.local.topics import KnownTopics, WriterSettings
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
from gateway.meters import ApplicationMeter, Untold
from gateway.services import Services
from gateway.streams import Streams
from mesh.errors import MeshError
from mesh.lanes.warnings import warnings
from mesh.local.errors import GatewayStopping, TooManyReaders
from mesh.local.room import Room


class LocalApi:
    """One for a gateway; both listeners use it. `close` when both are closed."""

    def __init__(
        self, services: Services, health: Health, stop: Callable[[], None], meter: ApplicationMeter | None = None
    ) -> None:
        self.services = services
        self.health = health
        self.stop = stop
        """Begins the shutdown of the gateway."""
        self._meter = meter or Untold()
        local, limits = services.config.local, services.config.batch_limits
        window_ms = int(local.idempotency_s * 1000)
        writers = WriterSettings(services.config.gateway_name, window_ms, limits)
        self._known = KnownTopics(services.cluster, services.now_ms, self._mirrored_by, writers)
        settings = PublishSettings(services.config.timing.append_timeout_s, window_ms)
        self._publisher = Publisher(self._known, Room(local.waiting_bytes), services.now_ms, settings)
        self._cursors = Cursors(services.cluster)
        reading = ReadSettings(local.reader_bytes, local.stalled_reader_s, limits)
        self._readings = Readings(services.cluster, self._cursors, reading, self._meter.read)
        self._streams = Streams(local.max_streams, TooManyReaders)
        self._mirrored: tuple[int, dict[str, str]] = (-1, {})

    async def publish(self, request: PublishRequest) -> Published:
        """Append the records; answers when they are durable.

        Raises RequestRefused, RecordTooLarge, IllegalName, TopicAbsent, PartitionAbsent, TopicMirrored,
        IdempotencyKeyReused, KeysNotKept, PublishBusy (nothing was appended); PublishIncomplete (a part of them is
        durable, the error says how many); PublishUnknown (nobody can tell yet: repeat it under the same key).
        """
        with self._metered():
            published = await self._publisher.publish(request)
        self._count(published)
        return published

    async def publish_many(self, requests: AsyncIterable[PublishRequest]) -> AsyncIterator[Outcome]:
        """The same for many at once: an outcome each, in their order.

        No request is begun after one failed: outcomes are given of those that were begun, then it ends. Requests
        without an outcome were not appended.
        """
        with self._streams.one():
            async with aclosing(self._publisher.publish_many(requests)) as outcomes:
                async for outcome in outcomes:
                    self._count(outcome.published)
                    if outcome.error is not None:
                        self._meter.failed(outcome.error.code)
                    yield outcome

    @asynccontextmanager
    async def read(self, query: ReadQuery) -> AsyncIterator[Reading]:
        """`async with api.read(query) as reading`: entered when it is known where each partition begins.

        Raises RequestRefused, IllegalName, IllegalStart, TopicAbsent, PartitionAbsent, CursorInUse, OffsetOutOfRange
        (a position that the log does not hold), TooManyReaders.
        """
        with self._metered(), self._streams.one():
            async with self._readings.open(query) as reading:
                yield reading

    @contextmanager
    def _metered(self) -> Iterator[None]:
        try:
            yield
        except MeshError as error:
            self._meter.failed(error.code)
            raise

    def _count(self, published: Published) -> None:
        if not published.repeated_request:
            self._meter.published(sum(each.count for each in published.placed))

    async def commit(self, cursor: str, topic: str, positions: Mapping[int, int], lease: str = "") -> None:
        """Everything before the positions is done with. All or none of them are stored.

        Raises LeaseLost, CursorInUse (no lease was given while somebody reads by it), PartitionAbsent, TopicAbsent,
        PositionOutsideLog, GroupNotEmpty (consumers of the cluster's own protocol have the group).
        """
        await self._cursors.commit(cursor, topic, positions, lease)

    async def cursor(self, cursor: str, topic: str) -> Cursor:
        """Raises CursorAbsent, TopicAbsent."""
        return await self._cursors.get(cursor, topic)

    async def delete_cursor(self, cursor: str, topic: str) -> None:
        """Forget its positions in `topic`. Raises CursorAbsent, CursorInUse, TopicAbsent, GroupNotEmpty."""
        await self._cursors.delete(cursor, topic)

    async def topics(self) -> Sequence[LocalTopic]:
        """The topics of the own cluster, by name."""
        return [
            LocalTopic(topic.name, topic.partitions, topic.topic_id, self._mirrored_by(topic.name))
            for topic in await self.services.cluster.topics.list()
        ]

    def _mirrored_by(self, topic: str) -> str:
        version = self.services.registry.version
        if self._mirrored[0] != version:
            self._mirrored = version, mirrored_topics(self.services)
        return self._mirrored[1].get(topic, "")

    async def catalog(self, peer: str = "") -> OfferedTopics:
        """What `peer`, or where empty every active peer, shares with us. Raises PeerAbsent, PeerNotActive; of a peer
        that was named also what prevents asking it."""
        return await offered_topics(self.services, peer)

    async def subscribe(
        self, peer: str, share: str, topics: Mapping[str, str], start: str = "", name: str = ""
    ) -> LocalSubscription:
        """`topics`: from names at the provider to local names, empty: all under their own. `start`: empty is earliest.
        `name`: empty is the share's. Raises what subscribing raises."""
        return await made_subscription(self.services, peer, share, topics, start, name)

    def subscriptions(self) -> Sequence[LocalSubscription]:
        """By name."""
        return subscriptions_of(self.services)

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
        return await translated(self.services, subscription, topic, partition, source_offset, destination_offset)

    def status(self) -> LocalStatus:
        results = self.health.results()
        lanes = [*self.services.lanes.statuses()]
        troubles = [result.why for result in results if result.why]
        known = self.services.config
        return LocalStatus(
            organization=str(known.organization),
            gateway=str(known.gateway_name),
            version=metadata.version("stream-mesh"),
            ready=all(result.ok for result in results),
            troubles=[*dict.fromkeys([*troubles, *(warning.why for warning in warnings(lanes))])],
            lanes=lanes,
        )

    @property
    def open_streams(self) -> int:
        """How many read or publish in a stream now."""
        return self._streams.open

    def end_readings(self) -> None:
        """Every reading ends with GatewayStopping."""
        self._readings.end(GatewayStopping())

    async def close(self) -> None:
        """Take nothing more; what is under way becomes durable or is given up."""
        await self._known.close(self.services.config.timing.drain_timeout_s)
