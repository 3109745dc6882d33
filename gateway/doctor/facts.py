"""What is gathered about a Kafka cluster before anything is judged: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.doctor.permissions import Need


@dataclass(frozen=True, slots=True)
class Door:
    """An address of a broker, and what became of knocking there."""

    address: str
    node: int | None
    """None for a bootstrap address."""
    why: str = ""
    """Why nobody opened; empty where it did."""
    remedy: str = ""
    versions: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """By API key, the lowest and the highest version that it speaks."""
    metadata_version: int | None = None
    certificate_end_ms: int | None = None
    """None without TLS."""
    certificate_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    cluster_id: str
    nodes: Mapping[int, str]
    """The live brokers, and the addresses that they advertise."""
    configs: Mapping[int, Mapping[str, str]]
    """Each broker's settings, empty where they may not be read."""


class Use(StrEnum):
    STATE = "state"
    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Asked:
    """A topic to look at. `source_config` is what its source's copy is kept like, where that is known."""

    name: str
    use: Use
    source_config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicFacts:
    asked: Asked
    partitions: int = 0
    """0 where there is no such topic, or we may not see it."""
    replicas: int = 0
    """Of the partition that has the fewest."""
    without_leader: int = 0
    behind: int = 0
    """Partitions of which not every replica is in sync."""
    config: Mapping[str, str] | None = None
    """Everything in force, None where it may not be read."""


@dataclass(frozen=True, slots=True)
class Access:
    """Whether we may; None where it cannot be known, and why."""

    need: Need
    topic: str = ""
    allowed: bool | None = None
    why: str = ""
    exists: bool = False
    """Whether the topic does."""
    in_use: bool = True
    """Whether this gateway does what needs it."""
