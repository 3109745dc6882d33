"""What an HTTP API of the gateway may itself refuse, and how every MeshError becomes an HTTP status."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import ClassVar

import structlog

from mesh.errors import CallerError, MeshError, NetworkError, OperatorError, PeerError


@dataclass(eq=False)
class HostRefused(CallerError):
    host: str

    code: ClassVar[str] = "host-refused"
    sentence: ClassVar[str] = "the Host header {host!r} does not name this listener"
    hint: ClassVar[str] = "use the address that the gateway printed at its start"
    status: ClassVar[int] = 403


@dataclass(eq=False)
class OriginRefused(CallerError):
    origin: str

    code: ClassVar[str] = "origin-refused"
    sentence: ClassVar[str] = "requests from the web origin {origin!r} are not answered"
    hint: ClassVar[str] = "the gateway's APIs are for local programs, not for pages of other sites"
    status: ClassVar[int] = 403


@dataclass(eq=False)
class ContentTypeRefused(CallerError):
    content_type: str

    code: ClassVar[str] = "content-type-refused"
    sentence: ClassVar[str] = "a body of type {content_type!r} is not read"
    hint: ClassVar[str] = "send application/json, or application/x-ndjson to a streaming path"
    status: ClassVar[int] = 415


@dataclass(eq=False)
class BodyRefused(CallerError):
    why: str

    code: ClassVar[str] = "body-refused"
    sentence: ClassVar[str] = "the request is not understood: {why}"
    hint: ClassVar[str] = "the OpenAPI document that the gateway answers says what each path takes"


@dataclass(eq=False)
class BodyTooLarge(CallerError):
    limit_bytes: int

    code: ClassVar[str] = "body-too-large"
    sentence: ClassVar[str] = "the body is larger than {limit_bytes} bytes"
    hint: ClassVar[str] = "send less at once"
    status: ClassVar[int] = 413


@dataclass(eq=False)
class BodySlow(CallerError):
    after_s: float

    code: ClassVar[str] = "body-slow"
    sentence: ClassVar[str] = "the body of the request did not arrive within {after_s:g} s"
    hint: ClassVar[str] = "send the whole body at once, or less of it"
    retriable: ClassVar[bool] = True
    status: ClassVar[int] = 408


@dataclass(eq=False)
class PathAbsent(CallerError):
    api: str
    method: str
    path: str

    code: ClassVar[str] = "path-absent"
    sentence: ClassVar[str] = "the {api} API has no {method} {path}"
    hint: ClassVar[str] = "the caller and the gateway may be of different versions: the OpenAPI document has the paths"


@dataclass(eq=False)
class MethodRefused(CallerError):
    api: str
    method: str
    path: str
    allowed: str

    code: ClassVar[str] = "method-refused"
    sentence: ClassVar[str] = "the {api} API has no {method} {path}, but: {allowed}"
    hint: ClassVar[str] = "the caller and the gateway may be of different versions: the OpenAPI document has the paths"
    status: ClassVar[int] = 405


@dataclass(eq=False)
class InternalFailure(OperatorError):
    """An unknown exception: the log has it under `incident`, the caller gets the number only."""

    incident: str

    code: ClassVar[str] = "internal-error"
    sentence: ClassVar[str] = "the gateway failed to answer, incident {incident}"
    hint: ClassVar[str] = "look for the incident in the gateway's log and report it: this is a defect"
    status: ClassVar[int] = 500


@dataclass(eq=False)
class PortInUse(OperatorError):
    address: str
    what: str

    code: ClassVar[str] = "port-in-use"
    sentence: ClassVar[str] = "the {what} listener cannot have {address}: another process listens there"
    hint: ClassVar[str] = "stop that process, or set another port (0 lets the system choose) in the configuration"


@dataclass(eq=False)
class AddressRefused(OperatorError):
    address: str
    what: str
    why: str

    code: ClassVar[str] = "address-refused"
    sentence: ClassVar[str] = "the {what} listener cannot have {address}: {why}"
    hint: ClassVar[str] = "set an address of this machine; the admin listener takes 127.0.0.1, ::1 or localhost only"


def logged(
    log: structlog.typing.FilteringBoundLogger, event: str, error: BaseException, **where: str
) -> InternalFailure:
    """What to answer for an unknown exception, which is logged here under its incident and nowhere else."""
    incident = secrets.token_hex(6)
    log.error(event, incident=incident, **where, exc_info=error)
    return InternalFailure(incident)


def status_of(error: MeshError) -> int:
    """The HTTP status: a class's own, else by who must act and what the code says."""
    own = getattr(type(error), "status", None)
    if isinstance(own, int):
        return own
    if isinstance(error, CallerError):
        return 404 if error.code.endswith("-absent") else 409 if error.code.endswith("-exists") else 400
    if isinstance(error, PeerError):
        return 502
    return 503 if error.retriable or isinstance(error, NetworkError) else 409


def error_body(error: MeshError) -> dict[str, dict[str, str]]:
    """The JSON form of an error, the same in a body, a stream and a log."""
    return {
        "error": {"code": error.code, "sentence": str(error), "remedy": error.remedy, "actor": error.actor},
    }
