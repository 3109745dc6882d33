"""Where the records of a topic came from: the organizations they passed, so that none comes back to where it has been.

A path names each organization and its topic's id, oldest first; it ends with whoever offers the topic. Names play no
part in it. An organization keeps the path of each topic that it copies into, by that topic's id, for as long as it
keeps anything: a subscription that is deleted does not make the copies its own.

A. Nobody copies a topic whose path holds the copier itself.
B. A path is stored before the first record is copied under it, and a lane is served only to those who know the path
   that its topic has then: so whoever joins two ends of a loop is found out before a record passes twice.
C. A path never loses an organization; it is bounded, and one that is too long is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, NamedTuple, TypeAlias

from mesh.errors import CallerError, NetworkError, PeerError
from mesh.ids import IllegalName, OrgId, TopicId, TopicName

MAX_PATH = 16
"""Organizations in a row; more would be a mistake, or a peer that makes them up."""


class Hop(NamedTuple):
    """One organization, and its topic by its id."""

    organization: OrgId
    topic_id: TopicId


Path: TypeAlias = tuple[Hop, ...]


@dataclass(eq=False)
class LoopRefused(CallerError):
    topic: str
    path: str

    code: ClassVar[str] = "loop-refused"
    sentence: ClassVar[str] = "topic '{topic}' holds records that came from here: {path}"
    hint: ClassVar[str] = "copy it from nowhere but its first organization; records never return to one they have been"


@dataclass(eq=False)
class OriginUnfit(PeerError):
    topic: str
    why: str

    code: ClassVar[str] = "origin-unfit"
    sentence: ClassVar[str] = "the provider does not say well where the records of topic {topic!r} come from: {why}"
    hint: ClassVar[str] = "ask the provider's operator: nothing of this topic is copied"


@dataclass(eq=False)
class OriginChanged(NetworkError):
    topic: str

    code: ClassVar[str] = "origin-changed"
    sentence: ClassVar[str] = "the records of topic '{topic}' come by another way than the subscriber knows"
    hint: ClassVar[str] = "the subscriber asks for the catalog anew and goes on by itself, unless it finds a loop"


@dataclass(frozen=True, slots=True)
class TopicOrigin:
    """What we know of a local topic that holds copies. `path` ends with whom we copy from, so it is not empty."""

    topic_id: TopicId
    topic: TopicName
    path: Path
    onward: bool = False
    """Whether the grants by which it came let us share it with others."""

    def joined(self, newer: TopicOrigin) -> TopicOrigin:
        """What is known after `newer` was learned of the same topic (C). Raises OriginUnfit."""
        held = {hop.organization for hop in newer.path}
        path = tuple(hop for hop in self.path if hop.organization not in held) + newer.path
        is_same = self.path[-1] == newer.path[-1]  # the same upstream: its newest word counts
        return TopicOrigin(
            self.topic_id, self.topic, bounded(self.topic, path), newer.onward and (is_same or self.onward)
        )


def path_of(topic: str, provider: OrgId, topic_id: str, told: Iterable[tuple[str, str]]) -> Path:
    """The path of an offered topic as its provider tells it; one that tells none offers its own.

    Raises OriginUnfit: it is another company's word.
    """
    try:
        path = tuple(Hop(OrgId(org), TopicId(each)) for org, each in told) or (Hop(provider, TopicId(topic_id)),)
    except IllegalName as error:
        raise OriginUnfit(topic[:300], str(error)) from error
    if path[-1] != (provider, topic_id):
        raise OriginUnfit(topic[:300], "its path does not end with the provider")
    if len({hop.organization for hop in path}) != len(path):
        raise OriginUnfit(topic[:300], "its path names an organization twice")
    return bounded(topic, path)


def path_here(origin: TopicOrigin | None, own: OrgId, topic_id: TopicId) -> Path:
    """The path of a topic of ours, as we tell it: `origin` is what we know of it, None where it is our own."""
    return (*(origin.path if origin is not None else ()), Hop(own, topic_id))


def bounded(topic: str, path: Path) -> Path:
    """`path`, or OriginUnfit where it is too long."""
    if len(path) > MAX_PATH:
        raise OriginUnfit(topic[:300], f"its path has {len(path)} organizations, {MAX_PATH} is the most")
    return path


def refuse_loop(topic: str, path: Path, own: OrgId) -> None:
    """Raises LoopRefused where the records have been here (A)."""
    if any(hop.organization == own for hop in path):
        raise LoopRefused(topic, shown(path))


def shown(path: Iterable[Hop]) -> str:
    return " > ".join(hop.organization for hop in path)


def path_token(path: Path) -> str:
    """What stands for a path where a lane is opened (B); empty for a topic that is its provider's own."""
    if len(path) < 2:
        return ""
    text = "\n".join(f"{hop.organization}/{hop.topic_id}" for hop in path)
    return sha256(text.encode()).hexdigest()[:32]
