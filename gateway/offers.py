"""What one gateway offers of a topic to another, and what the other takes of it.

The catalog comes from another company: nothing in it reaches our cluster that is not named here. A setting beyond
these could weaken what an append promises (fewer replicas in step, an unclean election), or move data elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import PeerError
from mesh.link.machine import MAX_LANES
from mesh.wire.v1 import catalog_pb2

# What a copy should share with its source; the rest is the subscriber's own business. Retention is among it: mirrored
# records keep their old timestamps, so a cluster's default would take a copy of history away as soon as it is made.
COPIED = ("cleanup.policy", "compression.type", "max.message.bytes", "retention.ms", "retention.bytes")
# Unless the source says otherwise records are kept for ever; and a copy shows the source's timestamps, not its own.
SETTINGS = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
# A copy takes whatever timestamps its source has taken, history and fast clocks included: a cluster's default refuses
# what lies an hour in the future. Whatever is offered, these are the subscriber's.
LARGEST = str((1 << 63) - 1)
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
    return stated | {key: offered[key] for key in COPIED if key in offered} | ANY_TIMESTAMP


def partitions_of(topic: catalog_pb2.CatalogTopic) -> int:
    """Raises OfferUnfit."""
    if not 1 <= topic.partitions <= MAX_LANES:
        raise OfferUnfit(topic.name[:300], topic.partitions, MAX_LANES)
    return topic.partitions
