"""Identifiers as types: parsed once at the edge, trusted inside.

Each is a `str` whose constructor validates, so a value of the type is always legal. A topic name is
checked by Kafka's own rules (letters, digits, `.`, `_`, `-`, at most 249) so that no name can be a path or a control
sequence anywhere in the system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from mesh.errors import CallerError

INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
INTERNAL_PREFIX = "_mesh."


@dataclass(eq=False)
class IllegalName(CallerError):
    """A name that does not follow the rules of its kind."""

    kind: str
    name: str
    rule: str

    code: ClassVar[str] = "illegal-name"
    sentence: ClassVar[str] = "{kind} {name!r} is not legal: {rule}"
    hint: ClassVar[str] = "choose a name that follows the rule"


class _Id(str):
    """A validated string; subclasses state `kind`, `pattern` and `rule`."""

    __slots__ = ()
    kind: ClassVar[str]
    pattern: ClassVar[re.Pattern[str]]
    rule: ClassVar[str]

    def __new__(cls, value: str) -> Self:
        if not isinstance(value, str) or not cls.pattern.fullmatch(value):
            raise IllegalName(cls.kind, str(value)[:80], cls.rule)
        return super().__new__(cls, value)


class OrgId(_Id):
    """An organization: its SPIFFE trust domain, e.g. `acme.example`."""

    __slots__ = ()
    kind = "organization"
    pattern = re.compile(r"(?=.{1,255}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
    rule = "a domain name of lower-case letters, digits, '-' and '.', at most 255 characters"


class _Name(_Id):
    __slots__ = ()
    pattern = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
    rule = "lower-case letters, digits and '-', not first or last, at most 63 characters"


class GatewayName(_Name):
    __slots__ = ()
    kind = "gateway"


class ShareName(_Name):
    __slots__ = ()
    kind = "share"


class SubscriptionName(_Name):
    __slots__ = ()
    kind = "subscription"


class TopicName(_Id):
    """A topic that may hold user data: legal for Kafka and not internal to it or to us."""

    __slots__ = ()
    kind = "topic"
    pattern = re.compile(r"[a-zA-Z0-9._-]{1,249}")
    rule = "1 to 249 of letters, digits, '.', '_' and '-', not '.' or '..', and not an internal topic"

    def __new__(cls, value: str) -> Self:
        name = super().__new__(cls, value)
        if name in {".", ".."} or name in INTERNAL_TOPICS or name.startswith(INTERNAL_PREFIX):
            raise IllegalName(cls.kind, value, cls.rule)
        return name


class TopicId(_Id):
    """One incarnation of a topic: 32 hex digits. Deleting and creating a topic gives another."""

    __slots__ = ()
    kind = "topic id"
    pattern = re.compile(r"[0-9a-f]{32}")
    rule = "32 lower-case hex digits"


class GroupName(_Id):
    """A consumer group. Kafka takes any text; one that could disturb a terminal or a log is none for us."""

    __slots__ = ()
    kind = "group"
    pattern = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,255}")
    rule = "1 to 255 printable characters"


class Partition(NamedTuple):
    """One partition of a topic of the local cluster."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class LaneId(NamedTuple):
    """One source partition being mirrored into one destination partition, as the importer names it."""

    subscription: SubscriptionName
    topic: TopicName
    partition: int

    def __str__(self) -> str:
        return f"{self.subscription}/{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class GatewayId:
    """`spiffe://<org>/gateway/<name>`: who a gateway is to other organizations."""

    org: OrgId
    name: GatewayName

    def __str__(self) -> str:
        return f"spiffe://{self.org}/gateway/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> GatewayId:
        """The id in `uri`, or `IllegalName`; no port, user, query, encoding or dot segments pass."""
        match = re.fullmatch(r"spiffe://([^/]+)/gateway/([^/]+)", uri) if len(uri) <= 2048 else None
        if match is None:
            raise IllegalName("gateway id", uri[:80], "spiffe://<organization>/gateway/<name>")
        return cls(OrgId(match[1]), GatewayName(match[2]))
