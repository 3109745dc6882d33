"""What an operator sees of a lane: its state, and why it stands still if it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mesh.ids import LaneId
from mesh.lanes.losses import LostRange


class LaneState(StrEnum):
    WAITING = "waiting"
    """No link to the peer, or a retriable failure: tried again by itself."""
    RECOVERING = "recovering"
    """Asking the log where it stands; comparing what is there with the source."""
    CATCHING_UP = "catching-up"
    RUNNING = "running"
    PAUSED = "paused"
    ELSEWHERE = "elsewhere"
    """Another gateway of the organization runs it: positions are those that it stored last."""
    STOPPED = "stopped"
    """Needs a person: `code`, `reason` and `remedy` say why and what to do."""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One importing lane. Offsets are -1 and lags None while they are not known."""

    lane: LaneId
    peer: str
    destination_topic: str
    state: LaneState
    code: str = ""
    reason: str = ""
    remedy: str = ""
    source_position: int = -1
    source_end: int = -1
    """The source's last stable offset: what can be mirrored now."""
    source_log_end: int = -1
    destination_end: int = -1
    source_timestamp_ms: int = -1
    """Timestamp of the newest record copied."""
    lag_records: int | None = None
    """Source offsets between position and last stable offset (gaps included)."""
    lag_s: float | None = None
    """Age of the newest record copied, 0 where nothing waits: our clock against whoever stamped the record."""
    records: int = 0
    """Ordinal: visible records copied since the lane began."""
    size_bytes: int = 0
    """Bytes appended since this process started."""
    gaps: int = 0
    """Source offsets without a copy: mesh gaps lists them with their reasons."""
    foreign_writes: int = 0
    lost: LostRange | None = None
    """What its source has lost, where the lane has stopped for it."""
    producer_id: int = -1
    producer_epoch: int = -1
    """As whom the lane writes, in the headers of the copy's batches; -1 where it does not run here."""
    gateway: str = ""
    """Who runs it, empty while nobody does."""
    stalled_records: int = 0
    """Source offsets beyond the last stable one: transactions that are open hold them back. They are not lag."""
    stalled_s: float = 0.0
    """How long the last stable offset has stood still before them, by our clock."""
    retention_s: float | None = None
    """In how many seconds the source's retention reaches the lane, as things go; None where nothing points to it."""
    source_heard_s: float | None = None
    """How long ago the source's offsets last changed, as far as we were told: the age of what rests on them."""
