"""What keeps a gateway beside an application from being waited for, or ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, OperatorError


@dataclass(eq=False)
class GatewayNotReady(OperatorError):
    place: str
    timeout_s: float
    why: str

    code: ClassVar[str] = "gateway-not-ready"
    sentence: ClassVar[str] = "the gateway at {place} was not ready within {timeout_s:g} s: {why}"
    hint: ClassVar[str] = "see its log; wait longer with --timeout, or name another place with --address"


@dataclass(eq=False)
class CommandNotStarted(CallerError):
    command: str
    why: str
    exit_code: int
    """As shells answer: 127 where there is none, 126 where it cannot be run."""

    code: ClassVar[str] = "command-not-started"
    sentence: ClassVar[str] = "cannot start {command}: {why}"
    hint: ClassVar[str] = "write the command after --, as: mesh await -- CMD ARGUMENTS"


@dataclass(eq=False)
class NotStopped(OperatorError):
    place: str
    why: str

    code: ClassVar[str] = "sidecar-not-stopped"
    sentence: ClassVar[str] = "the gateway at {place} was not asked to stop: {why}"
    hint: ClassVar[str] = "hand its token over in MESH_API_TOKEN_FILE, or its state directory in MESH_API_STATE"
