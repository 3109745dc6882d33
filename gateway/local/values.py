"""What the local API takes and answers, as plain values: neither gRPC nor HTTP. Offsets are partition offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.batch.records import Headers
from mesh.errors import MeshError
from mesh.lanes.status import LaneStatus


class NewRecord(NamedTuple):
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int | None = None
    """None: when it is appended."""


@dataclass(frozen=True, slots=True)
class PublishRequest:
    topic: str
    records: Sequence[NewRecord]
    partition: int | None = None
    """None: by each record's key; records without one go together."""
    idempotency_key: str = ""
    key_is_local: bool = False
    """Whether the key is never used at another gateway."""


@dataclass(frozen=True, slots=True)
class Placed:
    """`count` records that lie one behind another."""

    partition: int
    first_offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Published:
    placed: Sequence[Placed]
    """In the order of the request's records."""
    repeated_request: bool = False
    """It had been appended before, under the same idempotency key."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of many requests: `error` is None, or `published` says what is durable in spite of it."""

    published: Published
    error: MeshError | None = None


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """Where a partition begins: `positions`, else where `cursor` stands, else `start`."""

    topic: str
    partitions: Sequence[int] = ()
    """None: all, also those that are added later."""
    start: str = ""
    """`earliest` (also where empty), `latest`, `timestamp:…`."""
    positions: Mapping[int, int] = field(default_factory=dict)
    cursor: str = ""
    until_end: bool = False
    """End where the topic ended when the reading began."""
    max_records: int = 0
    """0: no limit."""
    max_bytes: int = 0
    """Of records in one answer, about; 0: our choice."""


@dataclass(frozen=True, slots=True)
class Begun:
    positions: Mapping[int, int]
    """Where each partition begins."""
    lease: str = ""
    """To commit by the cursor for as long as the reading lasts; empty without a cursor."""


class ReadRecord(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class PartitionRecords(NamedTuple):
    partition: int
    records: Sequence[ReadRecord]
    next_offset: int
    """Where the reader stands after these records."""


@dataclass(frozen=True, slots=True)
class Cursor:
    name: str
    topic: str
    positions: Mapping[int, int]
    """Of partitions that have one."""
    is_read: bool


@dataclass(frozen=True, slots=True)
class LocalTopic:
    name: str
    partitions: int
    topic_id: str
    mirrored_by: str = ""
    """The subscription that writes it; then an application may only read it."""


class SharedTopic(NamedTuple):
    peer: str
    share: str
    topic: str
    partitions: int


class Unasked(NamedTuple):
    peer: str
    error: MeshError


@dataclass(frozen=True, slots=True)
class OfferedTopics:
    topics: Sequence[SharedTopic]
    unasked: Sequence[Unasked] = ()
    """Peers that could not be asked."""


@dataclass(frozen=True, slots=True)
class LocalSubscription:
    name: str
    peer: str
    share: str
    state: str
    topics: Mapping[str, str]
    """From names at the provider to local names."""


@dataclass(frozen=True, slots=True)
class Translation:
    kind: str
    """`exact`, `gap`, `foreign`, `lost`, `before`, `after`."""
    source_offset: int | None = None
    destination_offset: int | None = None
    reason: str = ""
    """Of a gap."""


@dataclass(frozen=True, slots=True)
class LocalStatus:
    organization: str
    gateway: str
    version: str
    ready: bool
    troubles: Sequence[str]
    """What is not as it should be, in words."""
    lanes: Sequence[LaneStatus]
