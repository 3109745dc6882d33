"""What setting up mutually authenticated gRPC may raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import OperatorError, PeerError


@dataclass(eq=False)
class IdentityUnusable(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "identity-unusable"
    sentence: ClassVar[str] = "the gateway's certificate {path} is not used: {why}"
    hint: ClassVar[str] = "issue the gateway a new certificate"


@dataclass(eq=False)
class Tls12Accepted(OperatorError):
    address: str

    code: ClassVar[str] = "tls12-accepted"
    sentence: ClassVar[str] = "the listener on {address} accepts TLS 1.2"
    hint: ClassVar[str] = "start the gateway with the mesh command, which restricts gRPC to TLS 1.3 before it is loaded"


@dataclass(eq=False)
class TooManyCalls(PeerError):
    """Whoever opens streams to reset them is counted at the opening: gRPC does not tell of resets."""

    org: str

    code: ClassVar[str] = "too-many-calls"
    sentence: ClassVar[str] = "{org} makes more calls than are taken"
    hint: ClassVar[str] = "ask its operator why so many are made; a link is one call for as long as it lasts"
