"""What organizations agree on: peers, shares, grants, subscriptions. Values only; `gateway/registry.py` keeps them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from mesh.errors import CallerError
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicName
from mesh.patterns import PatternMapping, matches


class PeerState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Share:
    """A named, versioned set of topics that we offer."""

    name: ShareName
    topics: tuple[TopicName, ...]
    version: int = 1
    created_ms: int = 0
    patterns: tuple[str, ...] = ()
    """Shell patterns of further topics, those that are created later among them."""

    def holds(self, topic: str) -> str:
        """The name or the pattern by which the topic belongs to the share now, empty where it does not."""
        if topic in self.topics:
            return topic
        return next((pattern for pattern in self.patterns if matches(pattern, topic)), "")


class GrantState(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"


class GroupAccess(StrEnum):
    """What a peer may do with the positions of our consumer groups on the topics of a share."""

    NONE = "none"
    READ = "read"
    """Ask where a group stands, so that it can move to the peer's cluster."""
    WRITE = "write"
    """And set the positions of an empty one, so that it can move back."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One share given to one peer, with terms. Valid in [start_ms, end_ms); None is without end."""

    share: ShareName
    peer: OrgId
    start_ms: int = 0
    end_ms: int | None = None
    state: GrantState = GrantState.ACTIVE
    groups: GroupAccess = GroupAccess.NONE
    onward: bool = False
    """Whether the peer may share its copies with others."""

    @property
    def id(self) -> str:
        return f"{self.share}@{self.peer}"


@dataclass(frozen=True, slots=True)
class Until:
    """When a grant shall end; None is never."""

    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What can be changed of a grant while it is in use; None leaves it as it is."""

    groups: GroupAccess | None = None
    onward: bool | None = None
    until: Until | None = None

    def applied(self, grant: Grant) -> Grant:
        return replace(
            grant,
            groups=grant.groups if self.groups is None else self.groups,
            onward=grant.onward if self.onward is None else self.onward,
            end_ms=grant.end_ms if self.until is None else self.until.end_ms,
        )


class SubscriptionState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    PROMOTING = "promoting"
    """The mirror has ended for ever; its writers are being shut out."""
    PROMOTED = "promoted"
    """The topics are their owner's; the lanes' state still answers."""

    @property
    def is_final(self) -> bool:
        return self in (SubscriptionState.PROMOTING, SubscriptionState.PROMOTED)


class OnForeignWrite(StrEnum):
    """What a lane does when somebody else wrote to its destination partition (rule I)."""

    STOP = "stop"
    REPORT = "report"


class OnLoss(StrEnum):
    """What a lane does where the source has lost records, or is another incarnation of the topic (rule F)."""

    STOP = "stop"
    CONTINUE = "continue"
    """Go on with what there is; the ledger keeps the exact range."""


class OnTimestamp(StrEnum):
    """What a lane does with a record whose timestamp the destination topic refuses."""

    STOP = "stop"
    OVERRIDE = "override"
    """Copy the record without its timestamp."""
    QUARANTINE = "quarantine"
    """Leave the record out: a gap, so named in the ledger."""


@dataclass(eq=False)
class IllegalStart(CallerError):
    start: str

    code: ClassVar[str] = "illegal-start"
    sentence: ClassVar[str] = "{start!r} is no place to start from"
    hint: ClassVar[str] = (
        "use earliest, latest, offset:N, timestamp:MS or timestamp:TIME, such as timestamp:2026-01-31T12:00:00Z"
    )


@dataclass(frozen=True, slots=True)
class StartAt:
    """`earliest`, `latest`, `offset:N` or `timestamp:MS` (milliseconds since 1970, or an ISO time), parsed."""

    kind: str = "earliest"
    value: int = 0

    @classmethod
    def parse(cls, text: str) -> StartAt:
        """The start in `text`, or `IllegalStart`."""
        kind, _, value = text.partition(":")
        if kind in {"earliest", "latest"} and not value:
            return cls(kind)
        if kind in {"offset", "timestamp"} and value.isascii() and value.isdecimal() and int(value) < 1 << 56:
            return cls(kind, int(value))
        if kind == "timestamp" and (found_ms := _milliseconds(value)) is not None:
            return cls(kind, found_ms)
        raise IllegalStart(text[:80])

    def __str__(self) -> str:
        return self.kind if self.kind in {"earliest", "latest"} else f"{self.kind}:{self.value}"


def _milliseconds(text: str) -> int | None:
    """Of an ISO time that says its zone; of any other text None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or moment.timestamp() < 0:
        return None
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class TopicMapping:
    source_topic: TopicName
    destination_topic: TopicName
    source_partitions: int | None = None
    """How many partitions the source had when it was subscribed to: 0 for a topic that came later, None unknown."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What can be changed of a subscription while it goes on; None leaves it as it is."""

    on_foreign_write: OnForeignWrite | None = None
    on_loss: OnLoss | None = None
    on_timestamp: OnTimestamp | None = None
    follow_config: bool | None = None
    groups: tuple[str, ...] | None = None

    @property
    def stated(self) -> dict[str, Any]:
        """What is not None, by the names of the subscription's fields."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Subscription:
    """Our use of a peer's share: which of its topics, to which local names, from where."""

    name: SubscriptionName
    peer: OrgId
    share: ShareName
    topics: tuple[TopicMapping, ...]
    start: StartAt = StartAt()
    state: SubscriptionState = SubscriptionState.ACTIVE
    on_foreign_write: OnForeignWrite = OnForeignWrite.STOP
    on_loss: OnLoss = OnLoss.STOP
    on_timestamp: OnTimestamp = OnTimestamp.STOP
    follow_config: bool = False
    """Whether the destination topics follow what is changed of their sources' settings."""
    groups: tuple[str, ...] = ()
    """Consumer groups of the provider whose positions are copied, translated, as long as they are empty here."""
    patterns: tuple[PatternMapping, ...] = ()
    """By which topics that the provider offers later are followed; they then stand in `topics`."""
    subscribed_ms: int = 0
    """When it was made, 0 unknown: by it, what is stored of lanes of a deleted one of its name is known as such."""

    def destination_of(self, source_topic: str) -> TopicName | None:
        return next((m.destination_topic for m in self.topics if m.source_topic == source_topic), None)

    def runs_like(self, other: Subscription) -> bool:
        """Whether lanes that run for one go on for the other: what differs is none of theirs, or topics were added."""
        same = replace(
            self,
            topics=other.topics,
            patterns=other.patterns,
            follow_config=other.follow_config,
            groups=other.groups,
        )
        mine, theirs = set(self.topics), set(other.topics)
        return same == other and (mine <= theirs or theirs <= mine)

    def start_of(self, source_topic: str, partition: int) -> StartAt:
        """Where a new lane begins: partitions that came after subscribing are copied from their beginning."""
        known = next((m.source_partitions for m in self.topics if m.source_topic == source_topic), None)
        return self.start if known is None or partition < known else StartAt()
