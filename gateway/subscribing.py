"""Subscribing: what the source offers against what we ask, and the destination topics that it needs.

Strategy: everything is looked at before anything is made (`prepare`): the plan shows it, subscribing goes on with it.
Topics are made before the subscription is stored; if that fails they stay, and the same command again finds them and
goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from gateway.config_file import nearest
from gateway.importer.following import MAX_FOLLOWED, DestinationNotEmpty, TooManyOffered, is_empty, mapped, topics_named
from gateway.importer.terms import check_keeps_timestamps
from gateway.offers import offered_share, origin_of, partitions_of, taken_settings
from gateway.services import Services
from mesh.cluster_errors import TopicExists
from mesh.errors import CallerError, MeshError
from mesh.ids import OrgId, TopicName
from mesh.log import Topic
from mesh.origins import LoopRefused, refuse_loop
from mesh.shares import Subscription, TopicMapping
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


@dataclass(frozen=True, slots=True)
class Prepared:
    """One topic that a subscription asks for, by name or by a pattern, and what stands in its way."""

    source_topic: str
    destination_topic: str
    by_pattern: bool = False
    offered: catalog_pb2.CatalogTopic | None = None
    existing: Topic | None = None
    """The destination, where there is one already."""
    existing_is_empty: bool = True
    refusal: MeshError | None = None

    @property
    def mapping(self) -> TopicMapping:
        assert self.offered is not None, self
        partitions = self.offered.partitions
        return TopicMapping(TopicName(self.source_topic), TopicName(self.destination_topic), partitions)


@dataclass(frozen=True, slots=True)
class Preparation:
    """All of them, and the share as it is offered."""

    share: catalog_pb2.CatalogShare
    topics: list[Prepared] = field(default_factory=list)


async def subscribe(services: Services, subscription: Subscription) -> tuple[Subscription, list[str]]:
    """The stored subscription and the destination topics made for it.

    A topic that only a pattern finds is left out where it has been here before: it may be one of ours that came back.
    Raises what `Registry.subscribe` raises, PeerUnreachable, ShareNotAvailable, TopicNotShared, OfferUnfit,
    OriginUnfit, LoopRefused, DestinationTooSmall, DestinationNotEmpty, TooManyOffered, and what creating a topic
    raises.
    """
    services.registry.check_subscription(subscription)
    found = (await prepare(services, subscription)).topics
    wanted = [each for each in found if not (each.by_pattern and isinstance(each.refusal, LoopRefused))]
    for each in wanted:
        if each.refusal is not None:
            raise each.refusal
    topics = tuple(each.mapping for each in wanted)
    complete = replace(subscription, topics=topics, subscribed_ms=max(services.now_ms(), 0))
    services.registry.check_subscription(complete)
    missing = [each for each in wanted if each.existing is None]
    for each in missing:
        await _create(services, each)
    return await services.registry.subscribe(complete), [each.destination_topic for each in missing]


async def prepare(services: Services, subscription: Subscription) -> Preparation:
    """Ask and look, and make nothing. Raises PeerUnreachable, ShareNotAvailable, and what the cluster raises."""
    catalog = await services.links.catalog(subscription.peer)
    share = offered_share(catalog, subscription)
    asked = list(asked_for(share, subscription, services.links.organization))
    existing = await topics_named(services.cluster.topics, {each.destination_topic for each in asked})
    topics = [await _looked_up(services, each, existing.get(each.destination_topic)) for each in asked]
    return Preparation(share, topics)


def asked_for(share: catalog_pb2.CatalogShare, subscription: Subscription, own: OrgId) -> Iterator[Prepared]:
    """What the subscription asks for by name, then what its patterns match of the rest. Pure."""
    offered = {topic.name: topic for topic in share.topics}
    for mapping in subscription.topics:
        topic = offered.pop(mapping.source_topic, None)
        asked = Prepared(mapping.source_topic, mapping.destination_topic, offered=topic)
        if topic is None:
            near = nearest(mapping.source_topic, [each.name for each in share.topics])
            yield replace(asked, refusal=TopicNotShared(mapping.source_topic, share.name, near))
        else:
            yield replace(asked, refusal=_fault(topic, subscription.peer, own))
    count = len(subscription.topics)
    for topic in offered.values():
        try:
            destination = mapped(subscription, topic.name)
        except MeshError as error:  # the pattern makes a name of it that none can have
            yield Prepared(topic.name[:300], "", by_pattern=True, offered=topic, refusal=error)
            continue
        if destination is not None:
            count += 1
            too_many = TooManyOffered(share.name, MAX_FOLLOWED) if count > MAX_FOLLOWED else None
            refusal = too_many or _fault(topic, subscription.peer, own)
            yield Prepared(topic.name, destination, by_pattern=True, offered=topic, refusal=refusal)


def _fault(topic: catalog_pb2.CatalogTopic, peer: OrgId, own: OrgId) -> MeshError | None:
    try:
        partitions_of(topic)
        refuse_loop(topic.name, origin_of(topic, peer), own)
    except MeshError as error:
        return error
    return None


async def _looked_up(services: Services, asked: Prepared, existing: Topic | None) -> Prepared:
    """With what is known of the destination, and whether it fits."""
    if asked.refusal is not None or asked.offered is None:
        return asked
    empty = existing is None or await is_empty(services.cluster, existing.name)
    found = replace(asked, existing=existing, existing_is_empty=empty)
    try:
        services.registry.check_destination(asked.destination_topic)
        if existing is not None:
            _check_fits(existing, asked.offered.partitions)
        if asked.by_pattern and not empty:
            raise DestinationNotEmpty(asked.destination_topic)
    except MeshError as error:
        return replace(found, refusal=error)
    return found


def _check_fits(topic: Topic, source_partitions: int) -> None:
    check_keeps_timestamps(topic.name, topic.in_force)
    if topic.partitions < source_partitions:
        raise DestinationTooSmall(topic.name, topic.partitions, source_partitions)


async def _create(services: Services, wanted: Prepared) -> None:
    assert wanted.offered is not None, wanted
    topics, name = services.cluster.topics, wanted.destination_topic
    try:
        await topics.create(name, partitions_of(wanted.offered), taken_settings(wanted.offered.config))
    except TopicExists:  # somebody made it in between: it must fit like any other
        _check_fits(await topics.describe(name), wanted.offered.partitions)
