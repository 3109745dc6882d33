"""The frames of a link as values. `mesh/wire/codec.py` turns them into bytes; nothing here knows how.

A lane number names a lane on one link only: even where the dialler opened it, odd where the acceptor did.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from mesh.lanes.losses import Loss
from mesh.segment import Segment
from mesh.shares import StartAt

MAJOR = 1
MINOR = 0


class Role(IntEnum):
    EXPORTER = 1
    IMPORTER = 2


@dataclass(frozen=True, slots=True)
class Hello:
    organization: str
    gateway: str
    nonce: bytes
    major: int = MAJOR
    minor: int = MINOR
    features: tuple[str, ...] = ()
    roles: frozenset[Role] = frozenset(Role)
    max_frame_bytes: int = 20 << 20
    """The largest frame that the sender of the hello accepts."""
    heartbeat_ms: int = 10_000
    clock_ms: int = 0
    """The sender's wall clock, for people who look for a wrong one; 0: not told."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The sender's certificate chain (DER, leaf first) and its signature over both hellos."""

    certificate_chain: tuple[bytes, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Heartbeat:
    sent_ms: int = 0


@dataclass(frozen=True, slots=True)
class GoAway:
    """The sender takes no new lanes, ends those it serves, and then closes the link."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LaneOpen:
    """The importer asks for a source partition from a position on.

    `topic_id` is the incarnation it has copied so far, empty for a new lane; `credit_bytes` how much may be sent before
    more credit comes; `leader_epoch` that of the source batch that ends at an offset asked for, -1 unknown.
    """

    lane: int
    share: str
    topic: str
    partition: int
    start: StartAt
    topic_id: str = ""
    credit_bytes: int = 0
    max_batch_bytes: int = 0
    leader_epoch: int = -1
    origin: str = ""
    """What stands for the path by which the importer believes that the records came: `mesh.origins.path_token`."""


@dataclass(frozen=True, slots=True)
class LaneOpened:
    lane: int
    topic_id: str
    first_source_offset: int
    log_start: int
    log_end: int
    last_stable: int


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """Either side ends a lane, with a stable code; `retriable` says whether asking again may help."""

    lane: int
    code: str
    detail: str = ""
    retriable: bool = False
    loss: Loss | None = None
    """Where the source has lost records of the lane, or is another incarnation of its topic."""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    lane: int
    log_start: int
    log_end: int
    last_stable: int


@dataclass(frozen=True, slots=True)
class Credit:
    lane: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Everything before `source_offset` is durable at the importer, records and map."""

    lane: int
    source_offset: int


@dataclass(frozen=True, slots=True)
class Data:
    """Segments with the number of the lane of each, in the order they were cut."""

    segments: tuple[tuple[int, Segment], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A question beside the lanes; the link matches answers by `id`, the body is not its business."""

    id: int
    body: object


@dataclass(frozen=True, slots=True)
class Reply:
    id: int
    body: object


LaneFrame: TypeAlias = LaneOpened | LaneEnd | LaneStatus | Credit | Acknowledgement
Frame: TypeAlias = Hello | Proof | Heartbeat | GoAway | LaneOpen | LaneFrame | Data | Request | Reply
