"""Subscribing: what the source offers against what we ask, and the destination topics that it needs.

Strategy: everything is checked before anything is made. Topics are made before the subscription is stored; if that
fails they stay, and the same command again finds them and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gateway.config_file import nearest
from gateway.offers import partitions_of, taken_settings
from gateway.services import Services
from mesh.cluster_errors import TopicAbsent, TopicExists
from mesh.errors import CallerError
from mesh.policy import ShareNotAvailable
from mesh.ports import Topics
from mesh.shares import Subscription
from mesh.wire.v1 import catalog_pb2


@dataclass(eq=False)
class TopicNotShared(CallerError):
    topic: str
    share: str
    nearest: str

    code: ClassVar[str] = "topic-not-shared"
    sentence: ClassVar[str] = "share '{share}' has no topic '{topic}'"

    @property
    def remedy(self) -> str:
        listing = "see its topics with: mesh catalog --peer ORGANIZATION"
        return f"did you mean '{self.nearest}'? {listing}" if self.nearest else listing


@dataclass(eq=False)
class DestinationTooSmall(CallerError):
    topic: str
    partitions: int
    source_partitions: int

    code: ClassVar[str] = "destination-too-small"
    sentence: ClassVar[str] = (
        "destination topic '{topic}' has {partitions} partitions, its source has {source_partitions}"
    )
    hint: ClassVar[str] = "name another destination topic, or delete this one: subscribing creates it as needed"


async def subscribe(services: Services, subscription: Subscription) -> tuple[Subscription, list[str]]:
    """The stored subscription and the destination topics made for it.

    Raises what `Registry.subscribe` raises, PeerUnreachable, ShareNotAvailable, TopicNotShared, OfferUnfit,
    DestinationTooSmall, and what creating a topic raises.
    """
    services.registry.check_subscription(subscription)
    offered = offered_topics(await services.links.catalog(subscription.peer), subscription)
    topics = services.cluster.topics
    missing = [
        mapping.destination_topic
        for mapping in subscription.topics
        if not await _fits(topics, mapping.destination_topic, partitions_of(offered[mapping.source_topic]))
    ]
    for mapping in subscription.topics:
        if mapping.destination_topic in missing:
            await _create(topics, mapping.destination_topic, offered[mapping.source_topic])
    return await services.registry.subscribe(subscription), list(missing)


def offered_topics(
    catalog: catalog_pb2.CatalogReply, subscription: Subscription
) -> Mapping[str, catalog_pb2.CatalogTopic]:
    """The topics of the subscription's share, by name. Raises ShareNotAvailable, TopicNotShared."""
    share = next((each for each in catalog.shares if each.name == subscription.share), None)
    if share is None:
        raise ShareNotAvailable(subscription.share)
    offered = {topic.name: topic for topic in share.topics}
    for mapping in subscription.topics:
        if mapping.source_topic not in offered:
            raise TopicNotShared(mapping.source_topic, share.name, nearest(mapping.source_topic, offered))
    return offered


async def _fits(topics: Topics, name: str, source_partitions: int) -> bool:
    """Whether the topic exists; raises DestinationTooSmall where it has too few partitions."""
    try:
        topic = await topics.describe(name)
    except TopicAbsent:
        return False
    if topic.partitions < source_partitions:
        raise DestinationTooSmall(name, topic.partitions, source_partitions)
    return True


async def _create(topics: Topics, name: str, source: catalog_pb2.CatalogTopic) -> None:
    try:
        await topics.create(name, partitions_of(source), taken_settings(source.config))
    except TopicExists:  # somebody made it in between: it must fit like any other
        await _fits(topics, name, source.partitions)
