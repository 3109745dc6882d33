"""Why positions of a group are not told, not translated or not written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, PeerError


@dataclass(eq=False)
class GroupAbsent(CallerError):
    """Alike whether there is no such group, or one without a position on these topics."""

    group: str
    where: str

    code: ClassVar[str] = "group-absent"
    sentence: ClassVar[str] = "group {group!r} has no position on the topics of {where}"
    hint: ClassVar[str] = "see which groups have one with: mesh groups list, or mesh groups list --peer ORGANIZATION"


@dataclass(eq=False)
class PositionsUnanswered(CallerError):
    """Nothing was written: a group that moves without one of its positions would lose or repeat records there."""

    group: str
    topic: str
    partition: int
    why: str
    count: int

    code: ClassVar[str] = "positions-unanswered"
    sentence: ClassVar[str] = (
        "{count} positions of group {group!r} have no answer, the first on {topic}[{partition}]: {why};"
        " nothing was written"
    )
    hint: ClassVar[str] = "what is not mirrored yet is answered in a moment: try again, with --wait if you like"


@dataclass(eq=False)
class PositionWouldGoBack(CallerError):
    group: str
    topic: str
    partition: int
    present: int
    position: int

    code: ClassVar[str] = "position-would-go-back"
    sentence: ClassVar[str] = (
        "group {group!r} stands at {present} on {topic}[{partition}] and would go back to {position}:"
        " nothing was written"
    )
    hint: ClassVar[str] = "it has read further there already; with --backward it reads those records again"


@dataclass(eq=False)
class PositionOutsideLog(CallerError):
    group: str
    topic: str
    partition: int
    position: int
    start: int
    end: int

    code: ClassVar[str] = "position-outside-log"
    sentence: ClassVar[str] = (
        "position {position} of group {group!r} lies outside of {topic}[{partition}], which holds {start} to {end}"
        " (exclusive): nothing was written"
    )
    hint: ClassVar[str] = (
        "retention has passed it, or the log was truncated; a consumer would go on where its own reset says"
    )


@dataclass(eq=False)
class PositionsIllegal(PeerError):
    why: str

    code: ClassVar[str] = "positions-illegal"
    sentence: ClassVar[str] = "the peer's positions of groups are not valid: {why}"
    hint: ClassVar[str] = "nothing of them is used; compare the two gateways' versions"


@dataclass(eq=False)
class PositionsRefused(CallerError):
    """Our answer to a peer that asks for what cannot be."""

    why: str

    code: ClassVar[str] = "positions-refused"
    sentence: ClassVar[str] = "the request about positions of groups is not valid: {why}"
    hint: ClassVar[str] = "ask for topics of the share and for partitions that they have"


@dataclass(eq=False)
class TooManyPositions(CallerError):
    limit: int

    code: ClassVar[str] = "too-many-positions"
    sentence: ClassVar[str] = "there are more than {limit} positions of groups to tell at once"
    hint: ClassVar[str] = "ask for one group, or subscribe to fewer topics at a time"
