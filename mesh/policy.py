"""Who may read what: one pure function decides and explains.

Strategy: the conditions stand in one ordered list of steps; the first that fails is the reason, and all steps in
words are the explanation. Nothing is allowed that no step allows.

A. Deny by default: a peer reads only by an active peering, an existing share and a grant valid at that moment.
B. To the outside every denial looks alike: `Decision.require` raises one `ShareNotAvailable` whatever the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

from mesh.errors import CallerError
from mesh.ids import OrgId, ShareName, TopicId, TopicName
from mesh.origins import TopicOrigin, shown
from mesh.shares import Grant, GrantState, GroupAccess, PeerState, Share


@dataclass(eq=False)
class ShareNotAvailable(CallerError):
    """The one public answer to every denial: it tells neither what exists nor what was ended."""

    share: str

    code: ClassVar[str] = "not-available"
    sentence: ClassVar[str] = "share '{share}' is not available"
    hint: ClassVar[str] = "see what the peer grants with: mesh catalog --peer ORGANIZATION, or ask it for a grant"


class Reason(StrEnum):
    """Why a decision fell as it did: for our own audit, metrics and `why`, never for the peer."""

    GRANTED = "granted"
    PEER_ABSENT = "peer-absent"
    PEER_PENDING = "peer-pending"
    PEER_SUSPENDED = "peer-suspended"
    PEER_REVOKED = "peer-revoked"
    SHARE_ABSENT = "share-absent"
    NOT_GRANTED = "not-granted"
    GRANT_REVOKED = "grant-revoked"
    GRANT_NOT_BEGUN = "grant-not-begun"
    GRANT_ENDED = "grant-ended"
    TOPIC_NOT_SHARED = "topic-not-shared"
    COPY_NOT_ONWARD = "copy-not-onward"
    GROUPS_NOT_GRANTED = "groups-not-granted"


@dataclass(frozen=True, slots=True)
class Request:
    """`peer` sees `share` (no topic), or reads `partition` of `topic` of it, by its id where it is known.

    With `groups` it is about the positions of our consumer groups instead: to read them, or to write them.
    """

    peer: OrgId
    share: ShareName
    topic: TopicName | None = None
    partition: int | None = None
    topic_id: TopicId | None = None
    groups: GroupAccess = GroupAccess.NONE

    def __str__(self) -> str:
        if self.groups is not GroupAccess.NONE:
            place = "share" if self.topic is None else f"{self.topic} of share"
            return f"{self.peer} {self.groups}s positions of groups on {place} {self.share}"
        if self.topic is None:
            return f"{self.peer} sees share {self.share}"
        place = self.topic if self.partition is None else f"{self.topic}[{self.partition}]"
        return f"{self.peer} reads {place} of share {self.share}"


@dataclass(frozen=True, slots=True)
class Decision:
    """`steps` are the conditions in the order they were tried; the last one is the one that denied, if any did.

    `until_ms` is when an allowed request stops being allowed by itself, None for never: ask again then.
    """

    request: Request
    allowed: bool
    reason: Reason
    steps: tuple[str, ...]
    until_ms: int | None = None

    def require(self) -> None:
        """Raises ShareNotAvailable unless allowed."""
        if not self.allowed:
            raise ShareNotAvailable(self.request.share)


@dataclass(frozen=True, slots=True)
class _Step:
    denial: Reason | None
    """None where the condition holds."""
    words: str


_NOT_ACTIVE = {
    PeerState.PENDING: Reason.PEER_PENDING,
    PeerState.SUSPENDED: Reason.PEER_SUSPENDED,
    PeerState.REVOKED: Reason.PEER_REVOKED,
}


def decide(
    request: Request,
    grants: Mapping[str, Grant],
    shares: Mapping[ShareName, Share],
    peers: Mapping[OrgId, PeerState],
    now_ms: int,
    origins: Mapping[TopicId, TopicOrigin] = MappingProxyType({}),
) -> Decision:
    """Whether `request` is allowed at `now_ms`, why, and by which steps.

    `grants` are keyed by `Grant.id`; `origins` are those of our topics that hold copies.
    """
    grant = grants.get(f"{request.share}@{request.peer}")
    words: list[str] = []
    origin = origins.get(request.topic_id) if request.topic_id is not None else None
    for step in _steps(request, grant, shares.get(request.share), peers.get(request.peer), now_ms, origin):
        words.append(step.words)
        if step.denial is not None:
            return Decision(request, False, step.denial, tuple(words))
    return Decision(request, True, Reason.GRANTED, tuple(words), grant.end_ms if grant else None)


def _steps(
    request: Request,
    grant: Grant | None,
    share: Share | None,
    peer: PeerState | None,
    now_ms: int,
    origin: TopicOrigin | None,
) -> Iterator[_Step]:
    """The conditions in order. A generator: a step after a denial is never computed, so it may rely on the former."""
    yield _peer_step(request.peer, peer)
    if share is None:
        yield _Step(Reason.SHARE_ABSENT, f"share {request.share} does not exist")
        return
    yield _Step(None, f"share {share.name} exists, version {share.version}")
    if grant is None:
        yield _Step(Reason.NOT_GRANTED, f"share {share.name} is not granted to {request.peer}")
        return
    yield from _grant_steps(grant, now_ms)
    if request.groups is not GroupAccess.NONE:
        yield _groups_step(request.groups, grant)
    if request.topic is not None:
        yield _topic_step(request.topic, share)
    if origin is not None:
        yield _origin_step(origin)


def _peer_step(org: OrgId, state: PeerState | None) -> _Step:
    if state is None:
        return _Step(Reason.PEER_ABSENT, f"peer {org} is not known")
    return _Step(_NOT_ACTIVE.get(state), f"peer {org} is {state}")


def _groups_step(wanted: GroupAccess, grant: Grant) -> _Step:
    words = {
        GroupAccess.NONE: "says nothing about positions of groups",
        GroupAccess.READ: "allows to read positions of groups",
        GroupAccess.WRITE: "allows to read and write positions of groups",
    }
    is_allowed = grant.groups is GroupAccess.WRITE or grant.groups is wanted
    return _Step(None if is_allowed else Reason.GROUPS_NOT_GRANTED, f"grant {words[grant.groups]}")


def _topic_step(topic: TopicName, share: Share) -> _Step:
    found = share.holds(topic)
    by = f" by pattern {found}" if found and found != topic else ""
    words = f"topic {topic} is {'' if found else 'not '}part of share {share.name}{by}"
    return _Step(None if found else Reason.TOPIC_NOT_SHARED, words)


def _origin_step(origin: TopicOrigin) -> _Step:
    terms = "lets" if origin.onward else "does not let"
    words = (
        f"topic {origin.topic} is a copy that came by {shown(origin.path)}, whose grant {terms} us share it with others"
    )
    return _Step(None if origin.onward else Reason.COPY_NOT_ONWARD, words)


def _grant_steps(grant: Grant, now_ms: int) -> Iterator[_Step]:
    revoked = grant.state is not GrantState.ACTIVE
    yield _Step(Reason.GRANT_REVOKED if revoked else None, f"grant {grant.id} is {grant.state}")
    begun = grant.start_ms <= now_ms
    yield _Step(
        None if begun else Reason.GRANT_NOT_BEGUN, f"grant {'began' if begun else 'begins'} at {grant.start_ms} ms"
    )
    if grant.end_ms is None:
        yield _Step(None, "grant has no end")
    else:
        ended = now_ms >= grant.end_ms
        yield _Step(Reason.GRANT_ENDED if ended else None, f"grant {'ended' if ended else 'ends'} at {grant.end_ms} ms")
