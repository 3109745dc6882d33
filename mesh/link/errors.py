"""What can go wrong on a link. Each ends the link; the lanes on it go on over the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, NetworkError, PeerError
from mesh.lanes.losses import Loss


@dataclass(eq=False)
class FrameUnexpected(PeerError):
    """A frame that the state of the link or lane does not allow."""

    frame: str
    state: str

    code: ClassVar[str] = "frame-unexpected"
    sentence: ClassVar[str] = "the peer sent {frame}, which a link or lane that is {state} does not allow"
    hint: ClassVar[str] = "both gateways should run a released version; report this with both versions"


@dataclass(eq=False)
class FrameMalformed(PeerError):
    why: str

    code: ClassVar[str] = "frame-malformed"
    sentence: ClassVar[str] = "the peer sent a frame that cannot be read: {why}"
    hint: ClassVar[str] = "something between the gateways alters data, or the peer runs a broken version"


@dataclass(eq=False)
class FrameOutOfSequence(PeerError):
    expected: int
    actual: int

    code: ClassVar[str] = "frame-out-of-sequence"
    sentence: ClassVar[str] = "a frame was lost, repeated or swapped: number {actual} came instead of {expected}"
    hint: ClassVar[str] = "the link is made anew; if it happens again, something between the gateways alters data"


@dataclass(eq=False)
class FrameAltered(NetworkError):
    """Its seal does not fit: it was changed, or made for another link or direction."""

    size_bytes: int

    code: ClassVar[str] = "frame-altered"
    sentence: ClassVar[str] = "a frame of {size_bytes} bytes was changed on its way, or belongs to another link"
    hint: ClassVar[str] = "the link is made anew; if it happens again, something between the gateways alters data"


@dataclass(eq=False)
class FrameOversized(PeerError):
    size_bytes: int
    limit_bytes: int

    code: ClassVar[str] = "frame-oversized"
    sentence: ClassVar[str] = "the peer sent a frame of {size_bytes} bytes; {limit_bytes} are allowed"
    hint: ClassVar[str] = "raise limits.max_batch_bytes here if the source topic's records need it"


@dataclass(eq=False)
class VersionUnsupported(PeerError):
    major: int
    ours: int

    code: ClassVar[str] = "version-unsupported"
    sentence: ClassVar[str] = "the peer speaks version {major} of the link protocol; this gateway speaks {ours}"
    hint: ClassVar[str] = "upgrade the gateway with the lower version"


@dataclass(eq=False)
class CreditExceeded(PeerError):
    lane: int

    code: ClassVar[str] = "credit-exceeded"
    sentence: ClassVar[str] = "the peer sent data on lane {lane} beyond its credit"
    hint: ClassVar[str] = "report this with both versions"


@dataclass(eq=False)
class SegmentTooLarge(CallerError):
    """The peer takes no frame in which the segment would fit: its lane ends, the link goes on."""

    lane: int
    size_bytes: int
    limit_bytes: int

    code: ClassVar[str] = "segment-too-large"
    sentence: ClassVar[str] = (
        "a segment of {size_bytes} bytes does not fit a frame of {limit_bytes}, the importer's most"
    )
    hint: ClassVar[str] = "raise limits.max_batch_bytes at the importing gateway and restart it"


@dataclass(eq=False)
class RequestsExceeded(PeerError):
    limit: int

    code: ClassVar[str] = "requests-exceeded"
    sentence: ClassVar[str] = "the peer has more than {limit} requests unanswered on one link"
    hint: ClassVar[str] = "report this with both versions"


@dataclass(eq=False)
class PeerSilent(NetworkError):
    silent_s: float

    code: ClassVar[str] = "peer-silent"
    sentence: ClassVar[str] = "the peer sent nothing for {silent_s:.1f} s"
    hint: ClassVar[str] = "the link is made anew by itself"


@dataclass(eq=False)
class LinkLost(NetworkError):
    why: str

    code: ClassVar[str] = "link-lost"
    sentence: ClassVar[str] = "the link to the peer ended: {why}"
    hint: ClassVar[str] = "the link is made anew by itself and lanes go on from their durable positions"


@dataclass(eq=False)
class LinkDrained(LinkLost):
    """The link ended because one side went away in good order."""

    code: ClassVar[str] = "link-drained"
    sentence: ClassVar[str] = "the link to the peer was closed in good order: {why}"
    hint: ClassVar[str] = "nothing to do: the link is made anew when the peer is back"


@dataclass(eq=False)
class LaneEnded(PeerError):
    """The other side ended the lane and says why; the attributes are its words."""

    ended_code: str
    detail: str
    may_retry: bool
    loss: Loss | None = None

    code: ClassVar[str] = "lane-ended"
    sentence: ClassVar[str] = "the provider ended the lane: {detail} ({ended_code})"
    hint: ClassVar[str] = "see the provider's reason; what is granted now, says: mesh catalog --peer ORGANIZATION"
