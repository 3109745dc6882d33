"""What only the local API refuses, the same at a gateway and at the test server, and how any error crosses it.

An error has the gRPC status of its kind and, in the trailing metadata `mesh-error-bin`, an `Error` message. Nothing
but these two is ever told: an exception that is no MeshError is `internal`, and the gateway's log knows more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, MeshError, NetworkError
from mesh.local.v1 import local_pb2


@dataclass(eq=False)
class ApiTokenRefused(CallerError):
    code: ClassVar[str] = "api-token-refused"
    sentence: ClassVar[str] = "the call carries no valid token of the local API"
    hint: ClassVar[str] = "send the content of the state directory's local.token file as mesh-api-token"
    status: ClassVar[int] = 401


@dataclass(eq=False)
class RequestRefused(CallerError):
    field: str
    why: str

    code: ClassVar[str] = "request-refused"
    sentence: ClassVar[str] = "{field} cannot be taken: {why}"
    hint: ClassVar[str] = "docs/reference/local-api.md says what each field may hold"


@dataclass(eq=False)
class RecordTooLarge(CallerError):
    """Nothing of the request was appended."""

    index: int
    size_bytes: int
    limit_bytes: int

    code: ClassVar[str] = "record-too-large"
    sentence: ClassVar[str] = "record {index} of the request has {size_bytes} bytes, at most {limit_bytes} are taken"
    hint: ClassVar[str] = "send less in one record, or raise the topic's max.message.bytes"
    status: ClassVar[int] = 413


@dataclass(eq=False)
class IdempotencyKeyReused(CallerError):
    key: str

    code: ClassVar[str] = "idempotency-key-reused"
    sentence: ClassVar[str] = "other records were appended under the idempotency key {key!r}"
    hint: ClassVar[str] = "use a key for one request, and repeat that request unchanged"
    status: ClassVar[int] = 409


@dataclass(eq=False)
class CursorInUse(CallerError):
    cursor: str
    topic: str

    code: ClassVar[str] = "cursor-in-use"
    sentence: ClassVar[str] = "somebody else reads {topic!r} by the cursor {cursor!r}"
    hint: ClassVar[str] = "end the other reader, or read by a cursor of another name"
    status: ClassVar[int] = 409


@dataclass(eq=False)
class CursorAbsent(CallerError):
    cursor: str
    topic: str

    code: ClassVar[str] = "cursor-absent"
    sentence: ClassVar[str] = "the cursor {cursor!r} has no position in {topic!r}"
    hint: ClassVar[str] = "a cursor begins to exist with its first commit"


@dataclass(eq=False)
class LeaseLost(CallerError):
    """Nothing was committed."""

    cursor: str
    topic: str

    code: ClassVar[str] = "lease-lost"
    sentence: ClassVar[str] = "the lease is not that of who reads {topic!r} by the cursor {cursor!r}"
    hint: ClassVar[str] = "commit while the stream lasts that reads by the cursor; read again to go on"
    status: ClassVar[int] = 409


@dataclass(eq=False)
class ReaderStalled(NetworkError):
    """Ended by the gateway; where the reader stands is its own to know, so it can go on from there."""

    topic: str
    after_s: float

    code: ClassVar[str] = "reader-stalled"
    sentence: ClassVar[str] = "the reader of {topic!r} took nothing for {after_s:g} s, so its stream was ended"
    hint: ClassVar[str] = "read again from where you stand; take records faster, or several readers by partition"


@dataclass(eq=False)
class PositionOutsideLog(CallerError):
    """Nothing was committed."""

    topic: str
    partition: int
    offset: int
    end: int

    code: ClassVar[str] = "commit-outside-log"
    sentence: ClassVar[str] = "position {offset} of {topic}[{partition}] is outside of the log, which ends at {end}"
    hint: ClassVar[str] = "commit positions that a reading of this topic gave"


@dataclass(eq=False)
class KeysNotKept(CallerError):
    """Nothing was appended."""

    topic: str
    lag_ms: int

    code: ClassVar[str] = "keys-not-kept"
    sentence: ClassVar[str] = (
        "topic {topic!r} is compacted, so its log does not tell for long what was appended under an idempotency key"
    )
    hint: ClassVar[str] = "set min.compaction.lag.ms of the topic to {lag_ms} or more, or publish without a key"
    status: ClassVar[int] = 409


@dataclass(eq=False)
class PublishUnknown(NetworkError):
    topic: str
    why: str

    code: ClassVar[str] = "publish-unknown"
    sentence: ClassVar[str] = "nobody can tell yet whether the records were appended to {topic!r}: {why}"
    hint: ClassVar[str] = "repeat the request under the same idempotency key: it is then appended once"


@dataclass(eq=False)
class PublishIncomplete(NetworkError):
    """Some partitions took their part of the request, others did not."""

    topic: str
    appended: int
    records: int
    why: str

    code: ClassVar[str] = "publish-incomplete"
    sentence: ClassVar[str] = "{appended} of the {records} records are durable in {topic!r}, the others not: {why}"
    hint: ClassVar[str] = "repeat the request under the same idempotency key: only what is missing is then appended"


@dataclass(eq=False)
class PublishBusy(NetworkError):
    """Nothing was appended."""

    topic: str
    waiting_bytes: int
    why: str

    code: ClassVar[str] = "publish-busy"
    sentence: ClassVar[str] = "{topic!r} takes nothing more now, {waiting_bytes} bytes wait to be appended: {why}"
    hint: ClassVar[str] = "publish again in a moment; mesh status says what is wrong with the cluster"


@dataclass(eq=False)
class GatewayStopping(NetworkError):
    code: ClassVar[str] = "gateway-stopping"
    sentence: ClassVar[str] = "the gateway stops"
    hint: ClassVar[str] = "go on from where you stand when it runs again"


@dataclass(eq=False)
class TooManyReaders(NetworkError):
    limit: int

    code: ClassVar[str] = "too-many-readers"
    sentence: ClassVar[str] = "the local API has {limit} streams open, which is as many as it may"
    hint: ClassVar[str] = "end streams that are not needed, or raise local.max_streams"


_BY_SUFFIX = {"-absent": "NOT_FOUND", "-exists": "ALREADY_EXISTS", "-out-of-range": "OUT_OF_RANGE"}
_BY_HTTP = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 409: "FAILED_PRECONDITION", 413: "RESOURCE_EXHAUSTED"}
_BY_ACTOR = {"caller": "INVALID_ARGUMENT", "peer": "FAILED_PRECONDITION", "operator": "FAILED_PRECONDITION"}


def status_of(error: MeshError) -> str:
    """The name of the gRPC status of `error`."""
    for suffix, name in _BY_SUFFIX.items():
        if error.code.endswith(suffix):
            return name
    if error.retriable:
        return "UNAVAILABLE"
    return _BY_HTTP.get(getattr(type(error), "status", 0)) or _BY_ACTOR.get(error.actor, "INTERNAL")


def message_of(error: MeshError) -> local_pb2.Error:
    return local_pb2.Error(
        code=error.code, sentence=str(error), remedy=error.remedy, actor=error.actor, retriable=error.retriable
    )
