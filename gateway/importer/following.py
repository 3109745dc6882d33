"""Following what a provider offers: which lanes a subscription has now, and what its destination needs for them.

Strategy: one offer after another is gone through, topic by topic, so that what is wrong with one topic holds up no
other. The order for each topic: where its records came from is judged and stored, the destination is made or grown,
then its lanes may begin.

A. The destination grows before a lane of a new partition begins; nothing is ever taken away from it.
B. A topic that appears by a pattern goes to a destination that is new or empty: a pattern never mixes its records
   with somebody's own.
C. Where a topic's records came from is durable before the first of them is copied (`mesh.origins`).
D. Settings are changed only where the subscription says so, and only those that a copy would be made with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import structlog

from gateway.offers import OfferUnfit, differences, offered_share, origin_of, partitions_of, taken_settings, to_follow
from gateway.ranges import ranges_of
from gateway.registry import Registry
from mesh.cluster_errors import TopicAbsent, TopicExists
from mesh.errors import CallerError, MeshError, PeerError
from mesh.ids import LaneId, OrgId, Partition, TopicName
from mesh.lanes.status import LaneState, LaneStatus
from mesh.link.machine import MAX_LANES
from mesh.log import Topic
from mesh.origins import LoopRefused, OriginUnfit, Path, TopicOrigin, path_token, refuse_loop
from mesh.policy import ShareNotAvailable
from mesh.ports import Cluster, Topics
from mesh.shares import Subscription, TopicMapping
from mesh.wire.v1 import catalog_pb2

log = structlog.get_logger()

MAX_FOLLOWED = 1000
"""Topics of one subscription: a provider's pattern must not fill the subscriber's cluster with topics."""


@dataclass(eq=False)
class DestinationNotEmpty(CallerError):
    topic: str

    code: ClassVar[str] = "destination-not-empty"
    sentence: ClassVar[str] = "topic '{topic}' exists and holds records: nothing is copied into it by a pattern"
    hint: ClassVar[str] = "map the source topic to another name, or name this one: --topic SRC={topic}"


@dataclass(eq=False)
class TooManyOffered(PeerError):
    share: str
    limit: int

    code: ClassVar[str] = "too-many-offered"
    sentence: ClassVar[str] = (
        "share '{share}' offers more than one subscription takes by patterns: {limit} topics or lanes"
    )
    hint: ClassVar[str] = "what came first is copied; subscribe to some of its topics by name under another --name"


OFFERED = (LoopRefused, OfferUnfit, OriginUnfit, ShareNotAvailable, TooManyOffered)
"""What stays as it is for as long as the offer does."""


@dataclass(slots=True)
class Followed:
    """What an offer makes of a subscription. `held` are source topics with something to say, and what it is."""

    lanes: list[LaneId] = field(default_factory=list)
    held: dict[TopicName, MeshError] = field(default_factory=dict)
    """Topics some or all of whose lanes cannot begin."""
    origins: dict[TopicName, str] = field(default_factory=dict)
    """What stands for the path of each topic where its lanes are opened."""

    @property
    def refused(self) -> set[TopicName]:
        """Topics of which nothing may be copied any more, by lanes that run neither."""
        return {topic for topic, error in self.held.items() if isinstance(error, LoopRefused | OriginUnfit)}

    @property
    def may_pass(self) -> bool:
        """Whether something may go another way before the offer changes: all but what is wrong with the offer itself.

        An operator may put a topic right, and another gateway may follow a new one a moment before us: then it exists,
        perhaps with records, or its broker knows it and ours does not yet.
        """
        return not all(isinstance(error, OFFERED) for error in self.held.values())

    def statuses(self, subscription: Subscription, begun: Collection[LaneId]) -> Iterator[LaneStatus]:
        """One for each topic that is held, by the first of its lanes that cannot begin, or those that did before."""
        for topic, error in self.held.items():
            count = sum(lane.topic == topic for lane in self.lanes)
            before = [lane for lane in begun if lane.topic == topic and lane not in self.lanes]
            waits = error.retriable or isinstance(error, ShareNotAvailable)
            for lane in before or [LaneId(subscription.name, topic, count)]:
                yield LaneStatus(
                    lane,
                    subscription.peer,
                    subscription.destination_of(topic) or "",
                    LaneState.WAITING if waits else LaneState.STOPPED,
                    error.code,
                    str(error),
                    error.remedy,
                )


async def follow(
    cluster: Cluster, registry: Registry, subscription: Subscription, catalog: catalog_pb2.CatalogReply, own: OrgId
) -> Followed:
    """Do what the offer asks for, and answer the lanes to run.

    Raises ShareNotAvailable, and what the cluster raises.
    """
    share = offered_share(catalog, subscription)
    followed = Followed()
    offered = {topic.name: topic for topic in share.topics}
    subscription = await _with_new_topics(cluster, registry, subscription, share, followed, own)
    names = {mapping.destination_topic for mapping in subscription.topics}
    destinations = await topics_named(cluster.topics, names)
    for mapping in subscription.topics:
        topic = offered.get(mapping.source_topic)
        try:
            if topic is None:
                raise ShareNotAvailable(f"{subscription.share}/{mapping.source_topic}")
            # One that is gone is not made anew: somebody has taken it away.
            destination = destinations.get(mapping.destination_topic)
            if destination is None:
                raise TopicAbsent(mapping.destination_topic)
            path = await _learn_origin(registry, subscription, topic, destination, share.onward, own)
            count = await _ready(cluster, subscription, topic, destination, followed)
            if len(followed.lanes) + count > MAX_LANES:
                raise TooManyOffered(subscription.share, MAX_LANES)
            followed.origins[mapping.source_topic] = path_token(path)
            followed.lanes += [LaneId(subscription.name, mapping.source_topic, number) for number in range(count)]
        except MeshError as error:
            followed.held[mapping.source_topic] = error
    return followed


async def _learn_origin(
    registry: Registry,
    subscription: Subscription,
    topic: catalog_pb2.CatalogTopic,
    destination: Topic,
    onward: bool,
    own: OrgId,
) -> Path:
    """The path by which its records come, stored. Raises LoopRefused, OriginUnfit."""
    path = origin_of(topic, subscription.peer)
    refuse_loop(topic.name, path, own)
    await registry.record_origin(TopicOrigin(destination.topic_id, TopicName(destination.name), path, onward))
    return path


async def _ready(
    cluster: Cluster,
    subscription: Subscription,
    topic: catalog_pb2.CatalogTopic,
    destination: Topic,
    followed: Followed,
) -> int:
    """How many partitions can be copied now, after the destination has been grown and configured as far as it can."""
    wanted = partitions_of(topic)
    if destination.partitions < wanted:
        try:
            grown = await cluster.topics.grow(destination.name, wanted)
            log.info("destination grown", topic=destination.name, partitions=grown.partitions)
        except MeshError as error:  # the partitions that there are go on
            followed.held[TopicName(topic.name)] = error
            return destination.partitions
    if subscription.follow_config and (changes := to_follow(differences(topic.config, destination))):
        await _configure(cluster, destination.name, changes)
    return wanted


async def _configure(cluster: Cluster, name: str, changes: Mapping[str, str | None]) -> None:
    """What the cluster refuses stays a difference that `mesh subscription show` tells."""
    try:
        await cluster.topics.configure(name, changes)
        log.info("destination follows its source's settings", topic=name, settings=dict(changes))
    except MeshError as error:
        log.warning("settings not followed", topic=name, code=error.code, reason=str(error), remedy=error.remedy)


async def _with_new_topics(
    cluster: Cluster,
    registry: Registry,
    subscription: Subscription,
    share: catalog_pb2.CatalogShare,
    followed: Followed,
    own: OrgId,
) -> Subscription:
    """The subscription, with the topics that its patterns match by now."""
    for topic in share.topics:
        if subscription.destination_of(topic.name) is not None:
            continue
        try:
            destination = mapped(subscription, topic.name)
            if destination is None:
                continue
            if max(len(subscription.topics), len(followed.held)) >= MAX_FOLLOWED:
                raise TooManyOffered(share.name, MAX_FOLLOWED)
            refuse_loop(topic.name, origin_of(topic, subscription.peer), own)
            registry.check_destination(destination)
            await make_destination(cluster, destination, topic)
            mapping = TopicMapping(TopicName(topic.name), destination, 0)
            subscription = await registry.follow_topic(subscription.name, mapping)
            log.info("topic followed", subscription=str(subscription.name), topic=topic.name, destination=destination)
        except MeshError as error:
            followed.held[TopicName(topic.name)] = error
            if isinstance(error, TooManyOffered):
                break  # said once: a status for each of those that another company offers would have no bound
    return subscription


def mapped(subscription: Subscription, source_topic: str) -> TopicName | None:
    """The destination of a topic by the first pattern that matches, None where none does. Raises IllegalName."""
    found = (pattern.destination_of(source_topic) for pattern in subscription.patterns)
    return next((destination for destination in found if destination is not None), None)


async def make_destination(cluster: Cluster, name: TopicName, source: catalog_pb2.CatalogTopic) -> None:
    """Raises DestinationNotEmpty (B), OfferUnfit and what creating a topic raises."""
    try:
        await cluster.topics.create(name, partitions_of(source), taken_settings(source.config))
    except TopicExists:
        if not await is_empty(cluster, name):
            raise DestinationNotEmpty(name) from None


async def is_empty(cluster: Cluster, name: str) -> bool:
    """Whether the topic has never held a record. One that is absent is empty, too."""
    try:
        topic = await cluster.topics.describe(name)
        ranges = await ranges_of(cluster.source, [Partition(name, number) for number in range(topic.partitions)])
    except TopicAbsent:
        return True
    return all(each.end == 0 for each in ranges.values())


async def topics_named(topics: Topics, names: Collection[str]) -> dict[str, Topic]:
    """Those that exist, by name."""
    return {topic.name: topic for topic in await topics.list(lambda name: name in names)}
