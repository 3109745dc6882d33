"""What the rest of the gateway is told when a peer cannot be spoken to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import NetworkError, PeerError


@dataclass(eq=False)
class PeerUnreachable(NetworkError):
    org: str
    why: str

    code: ClassVar[str] = "peer-unreachable"
    sentence: ClassVar[str] = "there is no link to {org}: {why}"
    hint: ClassVar[str] = (
        "check its address and state with: mesh peer show {org}; a peer that does not have this organization among its "
        "peers, or not its present certificate authority, closes the connection without a word"
    )


@dataclass(eq=False)
class PeerRefusedRequest(PeerError):
    """The peer answered a question with a refusal; code and detail are its own."""

    org: str
    refusal: str
    detail: str

    code: ClassVar[str] = "peer-refused-request"
    sentence: ClassVar[str] = "{org} refused the request: {detail} ({refusal})"
    hint: ClassVar[str] = (
        "see what it grants with: mesh catalog --peer {org}; positions of groups need a grant that allows them, which "
        "its operator gives with --groups"
    )


@dataclass(eq=False)
class FeatureMissing(PeerError):
    org: str
    feature: str

    code: ClassVar[str] = "feature-missing"
    sentence: ClassVar[str] = "the gateway of {org} does not understand {feature}"
    hint: ClassVar[str] = "ask its operator to upgrade"


@dataclass(eq=False)
class PeerCut(NetworkError):
    """We ended the link because the peer's state no longer allows one."""

    org: str
    state: str

    code: ClassVar[str] = "peer-cut"
    sentence: ClassVar[str] = "the link to {org} was cut: the peer is {state}"
    hint: ClassVar[str] = "see its state with: mesh peer show {org}"


@dataclass(eq=False)
class LeafEnded(NetworkError):
    """The certificate by which the link was opened has ended; a new link needs a new one."""

    org: str
    end: str

    code: ClassVar[str] = "leaf-ended"
    sentence: ClassVar[str] = "the link to {org} was cut: the peer's gateway certificate ended at {end}"
    hint: ClassVar[str] = "it comes back by itself once the peer's gateway has a new certificate"


@dataclass(eq=False)
class TooManyLinks(PeerError):
    org: str
    limit: int

    code: ClassVar[str] = "too-many-links"
    sentence: ClassVar[str] = "{org} has {limit} links open, no more are taken"
    hint: ClassVar[str] = "ask its operator why so many are made; each gateway needs one"


@dataclass(eq=False)
class UnexpectedReply(PeerError):
    org: str
    kind: str

    code: ClassVar[str] = "unexpected-reply"
    sentence: ClassVar[str] = "{org} answered with {kind}"
    hint: ClassVar[str] = "see the reason in the peer's log; report this with both versions"
