"""What one gateway offers of a topic to another, and what the other takes of it.

The catalog comes from another company: nothing in it reaches our cluster that is not named here. A setting beyond
these could weaken what an append promises (fewer replicas in step, an unclean election), or move data elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from mesh.errors import PeerError
from mesh.ids import OrgId
from mesh.link.machine import MAX_LANES
from mesh.log import Topic
from mesh.origins import Path, path_of
from mesh.policy import ShareNotAvailable
from mesh.shares import Subscription
from mesh.wire.v1 import catalog_pb2

# What a copy should share with its source; the rest is the subscriber's own business. Retention is among it: mirrored
# records keep their old timestamps, so a cluster's default would take a copy of history away as soon as it is made.
COPIED = ("cleanup.policy", "compression.type", "max.message.bytes", "retention.ms", "retention.bytes")
# Unless the source says otherwise records are kept for ever; and a copy shows the source's timestamps, not its own.
SETTINGS = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
# A copy takes whatever timestamps its source has taken, history and fast clocks included: a cluster's default refuses
# what lies an hour in the future. Whatever is offered, these are the subscriber's.
LARGEST = str((1 << 63) - 1)
# No setting of these is longer; another company says how long its texts are.
MAX_VALUE = 100
ANY_TIMESTAMP = {"message.timestamp.before.max.ms": LARGEST, "message.timestamp.after.max.ms": LARGEST}


@dataclass(eq=False)
class OfferUnfit(PeerError):
    topic: str
    partitions: int
    limit: int

    code: ClassVar[str] = "offer-unfit"
    sentence: ClassVar[str] = "the provider's topic {topic!r} has {partitions} partitions; 1 to {limit} can be mirrored"
    hint: ClassVar[str] = "ask the provider's operator about the topic: nothing was made for it here"


def offered_settings(config: Mapping[str, str]) -> dict[str, str]:
    """What the catalog says of a source topic with these settings."""
    return SETTINGS | {key: config[key] for key in COPIED if key in config}


def taken_settings(offered: Mapping[str, str]) -> dict[str, str]:
    """The settings of a copy, given those of an offer: what is not known here is left out, whoever sent it."""
    stated = {key: value for key, value in SETTINGS.items() if offered.get(key) == value}
    copied = {key: offered[key] for key in COPIED if key in offered and _is_sane(offered[key])}
    return stated | copied | ANY_TIMESTAMP


def _is_sane(value: str) -> bool:
    return len(value) <= MAX_VALUE and value.isascii() and value.isprintable()


class Difference(NamedTuple):
    """A setting of an existing copy that is not as its source's. None: not set, so as the cluster has it."""

    setting: str
    source: str | None
    destination: str | None


def differences(offered: Mapping[str, str], copy: Topic) -> list[Difference]:
    """Where the settings of a copy are not those that it would be made with now."""
    taken = taken_settings(offered)
    found = [Difference(key, *(each.get(key, _UNSET.get(key)) for each in (taken, copy.config))) for key in COPIED]
    kept = copy.in_force.get("message.timestamp.type", "CreateTime")
    found.append(Difference("message.timestamp.type", "CreateTime", kept))
    return [each for each in found if each.source != each.destination and not _same(each)]


# What a topic has that does not say otherwise: see mesh.log.Topic.
_UNSET = {"retention.ms": "-1"}
# What every cluster that we know does where nothing is set.
_DEFAULTS = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "max.message.bytes": "1048588",
    "retention.bytes": "-1",
}


def _same(difference: Difference) -> bool:
    """Not set is as good as set to what it is anyway."""
    default = _DEFAULTS.get(difference.setting)
    return {difference.source or default, difference.destination or default} == {default}


def to_follow(found: list[Difference]) -> dict[str, str | None]:
    """The settings to change at the copy so that it follows its source: never any but the copied ones."""
    return {each.setting: each.source for each in found if each.setting in COPIED}


def origin_of(topic: catalog_pb2.CatalogTopic, provider: OrgId) -> Path:
    """The path by which the records of an offered topic came. Raises OriginUnfit."""
    return path_of(topic.name, provider, topic.topic_id, ((hop.organization, hop.topic_id) for hop in topic.origin))


def offered_share(catalog: catalog_pb2.CatalogReply, subscription: Subscription) -> catalog_pb2.CatalogShare:
    """Raises ShareNotAvailable."""
    share = next((each for each in catalog.shares if each.name == subscription.share), None)
    if share is None:
        raise ShareNotAvailable(subscription.share)
    return share


def partitions_of(topic: catalog_pb2.CatalogTopic) -> int:
    """Raises OfferUnfit."""
    if not 1 <= topic.partitions <= MAX_LANES:
        raise OfferUnfit(topic.name[:300], topic.partitions, MAX_LANES)
    return topic.partitions
