"""What a subscription would do, told before anything is made: topics, how much, how long, what is refused and why.

The provider says how much there is (ranges and sizes of its partitions); the rest is `gateway.subscribing.prepare`, so
that a plan and the subscription that follows cannot differ in what they check.

A. Nothing is guessed silently: a size that the provider does not know is unknown, and so are totals and times of it;
   a rate says whether somebody stated it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from gateway.offers import Difference, differences, origin_of, taken_settings
from gateway.ranges import ranges_of
from gateway.services import Services
from gateway.subscribing import Prepared, prepare
from mesh.errors import MeshError
from mesh.ids import Partition
from mesh.patterns import PatternMapping
from mesh.shares import OnTimestamp, Subscription
from mesh.wire.v1 import link_pb2

log = structlog.get_logger()

MEASURED_RATE = 100_000_000
"""Bytes a second that one gateway copied from cluster to cluster on two cores, with room: docs/performance.md."""
AT_ONCE = 100
"""Topics in one question to the provider."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    prepared: Prepared
    offsets: int | None = None
    """To copy, holes and markers among them; None where the provider does not say."""
    size_bytes: int | None = None
    """Of them, as stored at the source: a share of the log's size where copying begins inside it."""
    starts: tuple[int, ...] = ()
    """The first source offset of each partition."""
    identical_offsets: bool = False
    """Whether copies get their sources' offsets, as long as the source has no gaps."""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    subscription: Subscription
    topics: tuple[TopicPlan, ...]
    rate: int
    """Bytes a second."""
    rate_is_stated: bool
    onward: bool

    @property
    def wanted(self) -> list[TopicPlan]:
        return [each for each in self.topics if each.prepared.refusal is None]

    @property
    def offsets(self) -> int | None:
        return _sum([each.offsets for each in self.wanted])

    @property
    def size_bytes(self) -> int | None:
        return _sum([each.size_bytes for each in self.wanted])

    @property
    def seconds(self) -> float | None:
        return None if self.size_bytes is None else self.size_bytes / self.rate


async def plan(services: Services, subscription: Subscription, rate: int | None) -> Plan:
    """Raises what holds for all of it: SubscriptionExists, PeerNotActive, PeerUnreachable, ShareNotAvailable …"""
    everything = (PatternMapping("*", "*"),)
    services.registry.check_subscription(replace(subscription, topics=(), patterns=everything))
    preparation = await prepare(services, subscription)
    measures = await _measures(services, subscription, [each for each in preparation.topics if each.refusal is None])
    topics = [await _planned(services, each, measures.get(each.source_topic)) for each in preparation.topics]
    return Plan(subscription, tuple(topics), rate or MEASURED_RATE, rate is not None, preparation.share.onward)


async def _measures(
    services: Services, subscription: Subscription, wanted: Sequence[Prepared]
) -> dict[str, link_pb2.TopicMeasure]:
    """By topic; empty where the provider does not say."""
    names = [each.source_topic for each in wanted]
    found: dict[str, link_pb2.TopicMeasure] = {}
    try:
        for at in range(0, len(names), AT_ONCE):
            part = names[at : at + AT_ONCE]
            reply = await services.links.measure(subscription.peer, subscription.share, part, subscription.start)
            found |= {each.topic: each for each in reply.topics if each.topic in part}
    except MeshError as error:
        log.info("sizes not known", peer=str(subscription.peer), code=error.code, reason=str(error))
    return found


async def _planned(services: Services, prepared: Prepared, measure: link_pb2.TopicMeasure | None) -> TopicPlan:
    if prepared.offered is None or prepared.refusal is not None:
        return TopicPlan(prepared)
    differs = differences(prepared.offered.config, prepared.existing) if prepared.existing is not None else []
    planned = TopicPlan(prepared, differences=tuple(differs))
    if measure is None:
        return planned
    parts = measure.partitions
    starts = tuple(part.first_source_offset for part in parts)
    ends = await _ends(services, prepared, len(starts))
    has_holes = "compact" in prepared.offered.config.get("cleanup.policy", "")
    return replace(
        planned,
        offsets=sum(map(_offsets, parts)),
        size_bytes=_sum([_size(part) for part in parts]),
        starts=starts,
        identical_offsets=starts == ends and not has_holes,
    )


async def _ends(services: Services, prepared: Prepared, count: int) -> tuple[int, ...]:
    """Where the first copies will lie in each partition of the destination."""
    if prepared.existing is None:
        return (0,) * count
    numbers = range(min(count, prepared.existing.partitions))
    places = [Partition(prepared.destination_topic, number) for number in numbers]
    ranges = await ranges_of(services.cluster.source, places)
    return tuple(ranges[place].end for place in places)


def _offsets(part: link_pb2.PartitionMeasure) -> int:
    return max(0, part.last_stable - max(part.first_source_offset, part.log_start))


def _size(part: link_pb2.PartitionMeasure) -> int | None:
    held = part.log_end - part.log_start
    if held <= 0 or not _offsets(part):  # another company says these numbers
        return 0
    return part.size_bytes * _offsets(part) // held if part.HasField("size_bytes") else None


def _sum(parts: Sequence[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def shown(made: Plan) -> dict[str, object]:
    """The plan as the admin API answers it."""
    subscription = made.subscription
    return {
        "name": subscription.name,
        "peer": subscription.peer,
        "share": subscription.share,
        "start": str(subscription.start),
        "patterns": [str(pattern) for pattern in subscription.patterns],
        "follow_config": subscription.follow_config,
        "onward": made.onward,
        "topics": [_shown_topic(each, subscription) for each in made.topics],
        "total": {
            "topics": len(made.wanted),
            "partitions": sum(each.prepared.mapping.source_partitions or 0 for each in made.wanted),
            "offsets": made.offsets,
            "size_bytes": made.size_bytes,
            "seconds": made.seconds,
            "rate_bytes_per_s": made.rate,
            "rate_is": "stated" if made.rate_is_stated else "measured",
        },
        "fields": _fields(subscription),
        "refused": len(made.topics) - len(made.wanted),
    }


def _fields(subscription: Subscription) -> dict[str, str]:
    """Which fields of a record are copied."""
    exceptions = {
        OnTimestamp.OVERRIDE: "copied, or left out where the destination refuses it",
        OnTimestamp.QUARANTINE: "copied; a record whose timestamp the destination refuses is left out",
    }
    timestamp = exceptions.get(subscription.on_timestamp, "copied")
    return {"key": "copied", "value": "copied", "headers": "copied", "timestamp": timestamp}


def _shown_topic(planned: TopicPlan, subscription: Subscription) -> dict[str, object]:
    prepared, refusal = planned.prepared, planned.prepared.refusal
    answer: dict[str, object] = {
        "source": prepared.source_topic,
        "destination": prepared.destination_topic,
        "by": "pattern" if prepared.by_pattern else "name",
        "partitions": prepared.offered.partitions if prepared.offered is not None else None,
        "refused": None,
    }
    if refusal is not None:
        return answer | {"refused": {"code": refusal.code, "reason": str(refusal), "remedy": refusal.remedy}}
    assert prepared.offered is not None, prepared
    existing = prepared.existing
    settings = taken_settings(prepared.offered.config)
    return answer | {
        "first_source_offsets": list(planned.starts),
        "offsets": planned.offsets,
        "size_bytes": planned.size_bytes,
        "destination_offsets": "identical" if planned.identical_offsets else "mapped",
        "create": {"partitions": prepared.offered.partitions, "settings": settings} if existing is None else None,
        "existing": {"partitions": existing.partitions, "is_empty": prepared.existing_is_empty} if existing else None,
        "differences": [each._asdict() for each in planned.differences],
        "origin": [hop.organization for hop in origin_of(prepared.offered, subscription.peer)],
    }
