"""One offset question about a subscription, answered from the lane's map; pure but for the two reads it needs.

Outside of the map there is no answer, only an error that says what the map covers (rule E: nothing is guessed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.config_file import nearest
from gateway.services import Services
from mesh.errors import CallerError
from mesh.ids import LaneId, Partition, TopicName
from mesh.lanes.checkpoint import load_ledger, prefix
from mesh.lanes.ledger import LedgerEntry
from mesh.lanes.losses import LossKind
from mesh.offsets.answers import Answer, Exact, Foreign, InGap
from mesh.offsets.view import OffsetView
from mesh.shares import Subscription


@dataclass(eq=False)
class OffsetNotMapped(CallerError):
    subscription: str
    topic: str
    partition: int
    side: str
    offset: int
    first: int
    end: int

    code: ClassVar[str] = "offset-not-mapped"
    sentence: ClassVar[str] = (
        "{side} offset {offset} of {topic}[{partition}] is outside of the offset map of subscription '{subscription}', "
        "which covers {first} to {end} (exclusive)"
    )
    hint: ClassVar[str] = "below: it was never mirrored; above: it is not mirrored yet, so ask again later"


@dataclass(eq=False)
class OffsetOfFormerTopic(CallerError):
    """The source topic was created again since: the map is of the present one."""

    subscription: str
    topic: str
    partition: int
    offset: int
    topic_id: str

    code: ClassVar[str] = "offset-of-former-topic"
    sentence: ClassVar[str] = (
        "destination offset {offset} holds a record of {topic}[{partition}] as it was before it was created again "
        "(id {topic_id}): the source does not have it any more"
    )
    hint: ClassVar[str] = "see which offsets are of the former topic: mesh gaps {subscription}"


@dataclass(eq=False)
class LaneNotBegun(CallerError):
    subscription: str
    topic: str
    partition: int

    code: ClassVar[str] = "lane-not-begun"
    sentence: ClassVar[str] = "subscription '{subscription}' has mirrored nothing of {topic}[{partition}] yet"
    hint: ClassVar[str] = "see whether the partition exists and its lane runs: mesh subscription show {subscription}"


@dataclass(eq=False)
class TopicNotSubscribed(CallerError):
    subscription: str
    topic: str
    nearest: str

    code: ClassVar[str] = "topic-not-subscribed"
    sentence: ClassVar[str] = "subscription '{subscription}' has no source topic '{topic}'"

    @property
    def remedy(self) -> str:
        listing = f"see its topics with: mesh subscription show {self.subscription}"
        return f"did you mean '{self.nearest}'? {listing}" if self.nearest else listing


@dataclass(eq=False)
class TimestampNotFound(CallerError):
    topic: str
    partition: int
    timestamp_ms: int

    code: ClassVar[str] = "timestamp-not-found"
    sentence: ClassVar[str] = "no record of {topic}[{partition}] is at or after {timestamp_ms} ms"
    hint: ClassVar[str] = "ask for an earlier time, in milliseconds since 1970"


@dataclass(frozen=True, slots=True)
class Place:
    """A lane's map as far as it is acknowledged, and what its errors say."""

    lane: LaneId
    offset_map: OffsetView
    ledger: tuple[LedgerEntry, ...] = ()

    def forward(self, source_offset: int) -> dict[str, object]:
        """Where the record of a source offset is. Raises OffsetNotMapped, IllegalOffset."""
        return self._said("source", source_offset, self.offset_map.translate(source_offset))

    def back(self, destination_offset: int) -> dict[str, object]:
        """Which record a destination offset holds. Raises OffsetNotMapped, IllegalOffset."""
        return self._said("destination", destination_offset, self.offset_map.translate_back(destination_offset))

    def _said(self, side: str, offset: int, answer: Answer) -> dict[str, object]:
        other = "destination" if side == "source" else "source"
        match answer:
            case Exact(found):
                return {"answer": "exact", f"{side}_offset": offset, f"{other}_offset": found}
            case InGap(reason, found):
                gap = {"answer": "gap", "reason": str(reason)}
                return gap | {"source_offset": offset, "destination_offset": found}
            case Foreign(found) if self._is_orphan(offset):
                return {"answer": "lost", "source_offset": found, "destination_offset": offset}
            case Foreign(found):
                return {"answer": "foreign", "source_offset": found, "destination_offset": offset}
            case _:
                raise self._outside(side, offset)

    def _is_orphan(self, destination_offset: int) -> bool:
        """Whether it holds a record that the source lost after it was copied."""
        return any(each.kind is not LossKind.RECREATED and _holds(each, destination_offset) for each in self.ledger)

    def _outside(self, side: str, offset: int) -> OffsetNotMapped | OffsetOfFormerTopic:
        former = (each for each in self.ledger if each.kind is LossKind.RECREATED and _holds(each, offset))
        if side == "destination" and (entry := next(former, None)) is not None:
            lane = self.lane
            return OffsetOfFormerTopic(lane.subscription, lane.topic, lane.partition, offset, entry.topic_id)
        held = self.offset_map
        first, end = (
            (held.start, held.position) if side == "source" else (held.destination_start, held.destination_offset)
        )
        return OffsetNotMapped(self.lane.subscription, self.lane.topic, self.lane.partition, side, offset, first, end)


async def place_of(services: Services, subscription: Subscription, topic: str, partition: int) -> Place:
    """Raises TopicNotSubscribed, LaneNotBegun."""
    if subscription.destination_of(topic) is None:
        sources = [mapping.source_topic for mapping in subscription.topics]
        raise TopicNotSubscribed(subscription.name, topic[:300], nearest(topic, sources))
    lane = LaneId(subscription.name, TopicName(topic), partition)
    offset_map = await services.lanes.offset_map(lane)
    if offset_map is None:
        raise LaneNotBegun(subscription.name, topic, partition)
    return Place(lane, offset_map, load_ledger(lane, await services.cluster.lanes.load(prefix(lane))))


def _holds(entry: LedgerEntry, destination_offset: int) -> bool:
    return entry.destination_offset <= destination_offset < entry.next_destination_offset


async def at_timestamp(
    services: Services, subscription: Subscription, place: Place, timestamp_ms: int
) -> dict[str, object]:
    """Both offsets of the first mirrored record at or after `timestamp_ms` in the destination log.

    Raises TimestampNotFound, OffsetNotMapped.
    """
    topic = subscription.destination_of(place.lane.topic)
    assert topic is not None, "a place is of a topic of its subscription"
    found = await services.cluster.source.offset_at(Partition(topic, place.lane.partition), timestamp_ms)
    if found is None:
        raise TimestampNotFound(topic, place.lane.partition, timestamp_ms)
    back = place.offset_map.translate_back(found)
    # A record that somebody else wrote has no source: the next one of the lane stands for it.
    return place.forward(back.next_source_offset) if isinstance(back, Foreign) else place.back(found)
