"""What the verifier may raise besides what the ports raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, OperatorError, PeerError


@dataclass(eq=False)
class BatchUnreadable(OperatorError):
    """A batch in a log that no reader could read."""

    base_offset: int
    why: str

    code: ClassVar[str] = "batch-unreadable"
    sentence: ClassVar[str] = "the batch at offset {base_offset} cannot be read: {why}"
    hint: ClassVar[str] = "read the topic with another client; if that fails too, the log is damaged there"


@dataclass(eq=False)
class LogSilent(OperatorError):
    """A log answers nothing where it says that it has data."""

    topic: str
    partition: int
    offset: int
    end: int

    code: ClassVar[str] = "log-silent"
    sentence: ClassVar[str] = "{topic}[{partition}] answers no data at offset {offset} although it ends at {end}"
    hint: ClassVar[str] = "check the cluster, then verify again"
    retriable: ClassVar[bool] = True


@dataclass(eq=False)
class DigestsOutOfRange(CallerError):
    """The asked offsets are no longer, or not yet, in the log. A caller's error, so that a partner is told."""

    topic: str
    partition: int
    offset: int
    start: int
    end: int

    code: ClassVar[str] = "digests-out-of-range"
    sentence: ClassVar[str] = "offset {offset} of {topic}[{partition}] is outside its log, {start} to {end} (exclusive)"
    hint: ClassVar[str] = "ask for offsets that the log still has"


@dataclass(eq=False)
class DigestsIllegal(PeerError):
    """The peer's answer to a request for digests does not follow the protocol."""

    why: str

    code: ClassVar[str] = "digests-illegal"
    sentence: ClassVar[str] = "the peer's page of digests breaks the protocol: {why}"
    hint: ClassVar[str] = "both gateways should run the same version; tell the peer's operator"


@dataclass(eq=False)
class NothingToVerify(CallerError):
    subscription: str

    code: ClassVar[str] = "nothing-to-verify"
    sentence: ClassVar[str] = "subscription {subscription!r} has no lane that has begun"
    hint: ClassVar[str] = "wait for the first records: mesh status"


@dataclass(eq=False)
class NothingLeft(OperatorError):
    """A lane of which one of the logs has dropped everything."""

    lane: str

    code: ClassVar[str] = "nothing-left"
    sentence: ClassVar[str] = "nothing of lane {lane} is left in both logs to compare"
    hint: ClassVar[str] = (
        "retention or truncation took it from the source or from the copy: mesh topic list shows the ranges"
    )
