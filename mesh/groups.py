"""Consumer groups as their cluster knows them, and how a subscription names some of them. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from mesh.ids import GroupName, Partition, TopicId, TopicName


class GroupState(StrEnum):
    ABSENT = "absent"
    """Nobody has joined it or committed for it: a commit makes it."""
    EMPTY = "empty"
    ACTIVE = "active"
    """It has members, or somebody is just joining."""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    name: GroupName
    state: GroupState


@dataclass(frozen=True, slots=True)
class Group:
    name: GroupName
    state: GroupState
    members: int = 0
    positions: Mapping[Partition, int] = field(default_factory=dict)
    """The next offset that the group reads, where it has committed one."""


@dataclass(frozen=True, slots=True)
class TopicPositions:
    """Where a group stands on one topic of another organization, by partition."""

    topic: TopicName
    topic_id: TopicId
    """The incarnation that the positions are of."""
    positions: Mapping[int, int]
    ends: Mapping[int, int] = field(default_factory=dict)
    """The last stable offsets, where they were asked for."""


@dataclass(frozen=True, slots=True)
class PeerGroup:
    """A group of another organization, as far as it concerns the topics that it shares with us."""

    name: GroupName
    has_members: bool
    topics: tuple[TopicPositions, ...]


def is_pattern(word: str) -> bool:
    """Whether a subscription's word for groups is a shell pattern."""
    return any(each in word for each in "*?[")


def is_wanted(name: GroupName, words: Iterable[str]) -> bool:
    """Whether one of a subscription's words, names or shell patterns, means the group."""
    return any(word == name or fnmatchcase(name, word) for word in words)
