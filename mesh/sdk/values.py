"""What an application hands over and gets back: plain values, no messages of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from mesh.sdk.errors import GatewayError

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
Bytes: TypeAlias = bytes | str | None
"""A key or value: text is stored as UTF-8; None is Kafka's null, which is not the same as empty."""


@dataclass(frozen=True, slots=True)
class NewRecord:
    value: Bytes
    key: Bytes = None
    headers: Headers = ()
    timestamp_ms: int | None = None
    """Milliseconds since 1970; None: when it is appended."""


class Published(NamedTuple):
    """Where a record is, durably."""

    partition: int
    offset: int
    repeated: bool = False
    """An earlier request with the same idempotency key had appended it already."""


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Batch(NamedTuple):
    """Records of one partition, in order; empty where only offsets without records were passed over."""

    topic: str
    partition: int
    records: Sequence[Record]
    next_offset: int
    """Where the reader stands behind them: what to store in a transaction of your own."""


@dataclass(frozen=True, slots=True)
class Cursor:
    name: str
    topic: str
    positions: Mapping[int, int]
    """The offset that is read next, by partition; partitions without one are absent."""
    is_read: bool
    """Somebody reads by it now."""


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    partitions: int
    topic_id: str
    mirrored_by: str = ""
    """The subscription that writes it; an application may only read it then."""


@dataclass(frozen=True, slots=True)
class SharedTopic:
    """A topic that a peer shares with us."""

    peer: str
    share: str
    topic: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Catalog:
    topics: Sequence[SharedTopic]
    unasked: Mapping[str, GatewayError]
    """Peers that could not be asked, and why."""


@dataclass(frozen=True, slots=True)
class Subscription:
    name: str
    peer: str
    share: str
    state: str
    topics: Mapping[str, str]
    """From the provider's names to local names."""


@dataclass(frozen=True, slots=True)
class Translation:
    """The answer to an offset; see docs/design/offset-map.md."""

    kind: str
    """`exact`, `gap`, `before`, `after`; of a destination offset also `foreign` and `lost`."""
    source_offset: int | None
    destination_offset: int | None
    reason: str = ""
    """Of a gap."""


@dataclass(frozen=True, slots=True)
class Lane:
    subscription: str
    peer: str
    topic: str
    partition: int
    state: str
    reason: str
    remedy: str
    lag_records: int | None
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class Status:
    organization: str
    gateway: str
    version: str
    ready: bool
    troubles: Sequence[str]
    """What is not as it should be, in words."""
    lanes: Sequence[Lane]
