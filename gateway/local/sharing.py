"""What an application may ask about partners: what they offer, what is subscribed to, and where a record is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.admin.catalog import active_peer
from gateway.admin.subscriptions import parsed
from gateway.audit.actor import APPLICATION, acting
from gateway.local.values import LocalSubscription, OfferedTopics, SharedTopic, Translation, Unasked
from gateway.services import Services
from gateway.subscribing import subscribe
from gateway.translating import OffsetNotMapped, place_of
from mesh.errors import MeshError
from mesh.local.errors import RequestRefused
from mesh.shares import PeerState, Subscription

MAX_OFFSET = 1 << 62


async def offered_topics(services: Services, peer: str) -> OfferedTopics:
    """As `LocalApi.catalog`."""
    if peer:
        return OfferedTopics(await _offered(services, peer))
    topics: list[SharedTopic] = []
    unasked: list[Unasked] = []
    active = [each.org for each in services.registry.peers.values() if each.state is PeerState.ACTIVE]
    for org in sorted(active):
        try:
            topics += await _offered(services, org)
        except MeshError as error:
            unasked.append(Unasked(org, error))
    return OfferedTopics(topics, unasked)


async def _offered(services: Services, peer: str) -> list[SharedTopic]:
    reply = await services.links.catalog(active_peer(services.registry, peer))
    return [
        SharedTopic(peer, share.name, topic.name, topic.partitions) for share in reply.shares for topic in share.topics
    ]


async def made_subscription(
    services: Services, peer: str, share: str, topics: Mapping[str, str], start: str, name: str
) -> LocalSubscription:
    """As `LocalApi.subscribe`."""
    asked: dict[str, object] = {"peer": peer, "share": share, "start": start or "earliest"}
    if name:
        asked["name"] = name
    if topics:
        asked["topics"] = [{"source": source, "destination": local or source} for source, local in topics.items()]
    with acting(APPLICATION):
        made, _ = await subscribe(services, parsed(asked))
    return shown(made)


def subscriptions_of(services: Services) -> Sequence[LocalSubscription]:
    """By name."""
    return [shown(each) for _, each in sorted(services.registry.subscriptions.items())]


def shown(subscription: Subscription) -> LocalSubscription:
    return LocalSubscription(
        name=str(subscription.name),
        peer=str(subscription.peer),
        share=str(subscription.share),
        state=subscription.state.value,
        topics={str(each.source_topic): str(each.destination_topic) for each in subscription.topics},
    )


async def translated(
    services: Services,
    subscription: str,
    topic: str,
    partition: int,
    source_offset: int | None,
    destination_offset: int | None,
) -> Translation:
    """As `LocalApi.translate`."""
    offset = source_offset if destination_offset is None else destination_offset
    if offset is None or (source_offset is not None and destination_offset is not None):
        raise RequestRefused("offset", "one of source_offset and destination_offset is to be given")
    if not 0 <= offset < MAX_OFFSET:
        raise RequestRefused("offset", "it is a number from 0 on")
    place = await place_of(services, services.registry.subscription(subscription), topic, partition)
    try:
        said = place.back(offset) if source_offset is None else place.forward(offset)
    except OffsetNotMapped as error:
        kind = "before" if offset < error.first else "after"
        return Translation(kind, source_offset, destination_offset)
    return Translation(
        str(said["answer"]),
        _number(said.get("source_offset")),
        _number(said.get("destination_offset")),
        str(said.get("reason", "")),
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
