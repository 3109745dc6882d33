"""What stops a lane at the importer, beside what the ports and the link raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import NetworkError, OperatorError, PeerError


@dataclass(eq=False)
class ForeignWrite(OperatorError):
    """Somebody else wrote to a mirrored partition (rule I). The map stays exact; going on is the operator's choice."""

    topic: str
    partition: int
    expected_offset: int
    offset: int

    code: ClassVar[str] = "foreign-write"
    sentence: ClassVar[str] = (
        "somebody else wrote to {topic}[{partition}]: a batch went to {offset} where {expected_offset} was expected"
    )
    hint: ClassVar[str] = (
        "stop the other writer, then: mesh subscription resume SUBSCRIPTION; or to go on whoever writes: "
        "mesh subscription set SUBSCRIPTION --on-foreign-write report"
    )


@dataclass(eq=False)
class RecordTimestampRefused(OperatorError):
    """The destination topic does not take a record's timestamp. Nothing from this record on was written."""

    topic: str
    partition: int
    source_offset: int
    timestamp_ms: int
    why: str

    code: ClassVar[str] = "timestamp-refused"
    sentence: ClassVar[str] = (
        "{topic}[{partition}] refuses the record at source offset {source_offset} for its timestamp "
        "{timestamp_ms}: {why}"
    )
    hint: ClassVar[str] = (
        "set message.timestamp.before.max.ms and message.timestamp.after.max.ms of {topic} to 9223372036854775807, and "
        "its compression.type to producer, then resume; or choose override or quarantine with: mesh subscription set "
        "SUBSCRIPTION --on-timestamp"
    )


@dataclass(eq=False)
class LaneBroken(OperatorError):
    """A mistake of ours in one lane: it stops there, and the other lanes go on."""

    lane: str
    what: str

    code: ClassVar[str] = "lane-internal-error"
    sentence: ClassVar[str] = "lane {lane} stopped by an internal error: {what}"
    hint: ClassVar[str] = "report it with the traceback in the gateway's log; resuming the subscription is safe"


@dataclass(eq=False)
class DestinationRecreated(OperatorError):
    """The copies that were made are gone with the topic; nothing is written to the new one."""

    topic: str
    expected_id: str
    actual_id: str

    code: ClassVar[str] = "destination-recreated"
    sentence: ClassVar[str] = (
        "destination topic {topic!r} was deleted and created again: its id is {actual_id}, the copies went into "
        "{expected_id}"
    )
    hint: ClassVar[str] = "to copy everything anew, delete the subscription and subscribe again"


@dataclass(eq=False)
class LaneMisplaced(PeerError):
    """The provider opened the lane elsewhere than we asked."""

    lane: str
    asked: int
    opened: int

    code: ClassVar[str] = "lane-misplaced"
    sentence: ClassVar[str] = "the provider opened lane {lane} at source offset {opened}; asked was {asked}"
    hint: ClassVar[str] = "report this with both gateways' versions"


@dataclass(eq=False)
class LaneUnanswered(NetworkError):
    """The provider neither opened the lane nor refused it."""

    lane: str
    timeout_s: float

    code: ClassVar[str] = "lane-unanswered"
    sentence: ClassVar[str] = "the provider did not open lane {lane} within {timeout_s:g} s"
    hint: ClassVar[str] = (
        "it is tried again; if it goes on, the provider's cluster may be slow or away: ask its operator"
    )


@dataclass(eq=False)
class DestinationTopicUnfit(OperatorError):
    topic: str
    why: str

    code: ClassVar[str] = "destination-topic-unfit"
    sentence: ClassVar[str] = "destination topic {topic!r} cannot take this lane: {why}"
    hint: ClassVar[str] = "create it anew with at least as many partitions as the source, or map to another name"


@dataclass(eq=False)
class SubscriptionChanged(NetworkError):
    """Found at the moment of an append; the lane is about to be stopped, or started anew."""

    name: str

    code: ClassVar[str] = "subscription-changed"
    sentence: ClassVar[str] = "the subscription '{name}' was paused, changed or deleted"
    hint: ClassVar[str] = "see its state with: mesh subscription show {name}"


@dataclass(eq=False)
class LaneElsewhere(NetworkError):
    """Found at the moment of an append: the lane is about to be stopped here."""

    lane: str
    owner: str

    code: ClassVar[str] = "lane-elsewhere"
    sentence: ClassVar[str] = "lane {lane} is not this gateway's any more; its owner is '{owner}'"
    hint: ClassVar[str] = "nothing is to be done: the owner goes on with it"
