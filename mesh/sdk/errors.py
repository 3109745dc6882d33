"""What can go wrong for an application, typed.

`GatewayError` is an answer of the gateway: its code, sentence, remedy, who must act and whether the same may succeed
later are attributes, and the codes that a program may want to handle have a class of their own. `GatewayUnreachable`
and `ClientClosed` are this side's. What a code means: docs/reference/errors.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from mesh.errors import CallerError, MeshError, NetworkError


class Answer(NamedTuple):
    """The Error message of the protocol."""

    code: str
    sentence: str
    remedy: str = ""
    actor: str = "internal"
    """`caller`, `operator`, `peer`, `network`, `internal`."""
    retriable: bool = False


@dataclass(eq=False)
class GatewayError(MeshError):
    """The gateway refused, or failed; `answers` is the code that a subclass stands for."""

    answer: Answer

    answers: ClassVar[str] = ""

    def __post_init__(self) -> None:
        # They shadow the class's: which error it is came over the wire.
        vars(self).update(code=self.answer.code, actor=self.answer.actor, retriable=self.answer.retriable)

    def __str__(self) -> str:
        return self.answer.sentence

    @property
    def remedy(self) -> str:
        return self.answer.remedy


class TokenRefused(GatewayError):
    answers = "api-token-refused"


class RequestRefused(GatewayError):
    answers = "request-refused"


class TopicAbsent(GatewayError):
    answers = "topic-absent"


class PartitionAbsent(GatewayError):
    answers = "partition-absent"


class TopicMirrored(GatewayError):
    """A subscription writes the topic; an application may only read it."""

    answers = "topic-mirrored"


class TopicRecreated(GatewayError):
    answers = "topic-recreated"


class OffsetOutOfRange(GatewayError):
    """The log does not hold the position any more (retention), or does not hold it yet."""

    answers = "offset-out-of-range"


class RecordTooLarge(GatewayError):
    answers = "record-too-large"


class IdempotencyKeyReused(GatewayError):
    """Other records were appended under this key."""

    answers = "idempotency-key-reused"


class KeysNotKept(GatewayError):
    """The topic is compacted: what was appended under a key cannot be told from its log."""

    answers = "keys-not-kept"


class PublishUnknown(GatewayError):
    """Nobody can tell yet whether the records were appended."""

    answers = "publish-unknown"


class PublishIncomplete(GatewayError):
    """A part of the request is durable; a repeat under the same key appends what is missing."""

    answers = "publish-incomplete"


class CursorInUse(GatewayError):
    answers = "cursor-in-use"


class CursorAbsent(GatewayError):
    answers = "cursor-absent"


class LeaseLost(GatewayError):
    """Somebody else reads by the cursor now; nothing was committed."""

    answers = "lease-lost"


class CommitOutsideLog(GatewayError):
    answers = "commit-outside-log"


class ReaderStalled(GatewayError):
    answers = "reader-stalled"


class PeerAbsent(GatewayError):
    answers = "peer-absent"


class SubscriptionAbsent(GatewayError):
    answers = "subscription-absent"


@dataclass(eq=False)
class GatewayUnreachable(NetworkError):
    """It did not answer for as long as it was tried. A call that changes something may have been carried out."""

    address: str
    why: str

    code: ClassVar[str] = "gateway-unreachable"
    sentence: ClassVar[str] = "the gateway at {address} does not answer: {why}"
    hint: ClassVar[str] = "start it: mesh gateway run; compare the address with its listen.local_grpc"


@dataclass(eq=False)
class ClientClosed(CallerError):
    code: ClassVar[str] = "client-closed"
    sentence: ClassVar[str] = "the client is not open"
    hint: ClassVar[str] = "use it inside of its with block"


def error_of(answer: Answer) -> GatewayError:
    """The error of the class that stands for the code."""
    return _CLASSES.get(answer.code, GatewayError)(answer)


def unknown(topic: str, why: str) -> PublishUnknown:
    """As the gateway would say it, where it is this side that cannot tell."""
    sentence = f"nobody can tell whether the records were appended to {topic!r}: {why}"
    remedy = "look for the records in the topic before you publish them again"
    return PublishUnknown(Answer(PublishUnknown.answers, sentence, remedy, "network"))


def _all(base: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _all(cls)


_CLASSES = {cls.answers: cls for cls in _all()}
