"""What organizations agree on: peers, shares, grants, subscriptions. Values only; `gateway/registry.py` keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from mesh.errors import CallerError
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicName


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


class GrantState(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Grant:
    """One share given to one peer, with terms. Valid in [start_ms, end_ms); None is without end."""

    share: ShareName
    peer: OrgId
    start_ms: int = 0
    end_ms: int | None = None
    state: GrantState = GrantState.ACTIVE

    @property
    def id(self) -> str:
        return f"{self.share}@{self.peer}"


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


@dataclass(eq=False)
class IllegalStart(CallerError):
    start: str

    code: ClassVar[str] = "illegal-start"
    sentence: ClassVar[str] = "{start!r} is no place to start from"
    hint: ClassVar[str] = "use earliest, latest, offset:N or timestamp:MS"


@dataclass(frozen=True, slots=True)
class StartAt:
    """`earliest`, `latest`, `offset:N` or `timestamp:MS` (milliseconds since 1970), parsed."""

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
        raise IllegalStart(text[:80])

    def __str__(self) -> str:
        return self.kind if self.kind in {"earliest", "latest"} else f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class TopicMapping:
    source_topic: TopicName
    destination_topic: TopicName


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

    def destination_of(self, source_topic: str) -> TopicName | None:
        return next((m.destination_topic for m in self.topics if m.source_topic == source_topic), None)
