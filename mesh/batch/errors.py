"""What is wrong with a batch, with the evidence.

`OldFormat` and `LogUnreadable` speak of our own log, so the operator acts. The rest speak of what a partner
sent, and are raised by `validate` and by what it calls. Where the same parsers read our own log, their
`PeerError` is turned into `LogUnreadable` by the caller (mesh/lanes/export.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import OperatorError, PeerError


@dataclass(eq=False)
class OldFormat(OperatorError):
    offset: int
    magic: int

    code: ClassVar[str] = "old-format"
    sentence: ClassVar[str] = "a message of the old format {magic} at offset {offset}, where only batches can be"
    hint: ClassVar[str] = "copy the topic into a new one with a current client: mirroring reads it, this does not"


@dataclass(eq=False)
class LogUnreadable(OperatorError):
    offset: int
    why: str

    code: ClassVar[str] = "log-unreadable"
    sentence: ClassVar[str] = "the log cannot be read at offset {offset}: {why}"
    hint: ClassVar[str] = "read the offset with another client; if it fails too, the log is damaged there"


@dataclass(eq=False)
class BatchTruncated(PeerError):
    expected_bytes: int
    actual_bytes: int

    code: ClassVar[str] = "batch-truncated"
    sentence: ClassVar[str] = "a batch came as {actual_bytes} bytes where {expected_bytes} belong to it"
    hint: ClassVar[str] = "the partner's gateway cuts batches wrongly: send it this error"


@dataclass(eq=False)
class BatchCorrupt(PeerError):
    stated_crc: int
    computed_crc: int

    code: ClassVar[str] = "batch-corrupt"
    sentence: ClassVar[str] = "a batch has CRC {computed_crc:#010x} where its header states {stated_crc:#010x}"
    hint: ClassVar[str] = "the bytes changed on their way or in the partner's log: compare with the partner"


@dataclass(eq=False)
class BatchOversized(PeerError):
    what: str
    actual: int
    limit: int

    code: ClassVar[str] = "batch-oversized"
    sentence: ClassVar[str] = "a batch holds {actual} {what}, more than the {limit} we accept"
    hint: ClassVar[str] = "raise the limit in the configuration if the partner's batches are meant to be so large"


@dataclass(eq=False)
class BatchInflates(PeerError):
    codec: str
    what: str
    compressed_bytes: int
    limit_bytes: int

    code: ClassVar[str] = "batch-inflates"
    sentence: ClassVar[str] = (
        "{compressed_bytes} bytes of {codec} need more {what} than the {limit_bytes} bytes we accept for them"
    )
    hint: ClassVar[str] = "raise the limit in the configuration if such data is meant; otherwise ask the partner"


@dataclass(eq=False)
class BatchUndecodable(PeerError):
    codec: str
    why: str

    code: ClassVar[str] = "batch-undecodable"
    sentence: ClassVar[str] = "the records of a batch are not legal {codec}: {why}"
    hint: ClassVar[str] = "no Kafka consumer could read it either: find its producer together with the partner"


@dataclass(eq=False)
class BatchForbidden(PeerError):
    base_offset: int
    why: str

    code: ClassVar[str] = "batch-forbidden"
    sentence: ClassVar[str] = "a batch (base offset {base_offset}) may not be mirrored: {why}"
    hint: ClassVar[str] = "the partner's gateway must not send it: send it this error"


@dataclass(eq=False)
class BatchPoison(PeerError):
    record: int
    at_byte: int
    why: str

    code: ClassVar[str] = "batch-poison"
    sentence: ClassVar[str] = "record {record} of a batch, byte {at_byte} of its uncompressed records: {why}"
    hint: ClassVar[str] = "it would stop or mislead every consumer: find its producer together with the partner"
