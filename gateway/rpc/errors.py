"""What setting up mutually authenticated gRPC may raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import OperatorError


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
