"""What appending to and reading from a local topic may refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError


@dataclass(eq=False)
class LineRefused(CallerError):
    line: int
    why: str
    appended: int

    code: ClassVar[str] = "line-refused"
    sentence: ClassVar[str] = "line {line} is not a record: {why}; appended before it: {appended}"
    hint: ClassVar[str] = "correct the line, then append from it on"


@dataclass(eq=False)
class TopicMirrored(CallerError):
    topic: str
    subscription: str

    code: ClassVar[str] = "topic-mirrored"
    sentence: ClassVar[str] = "topic {topic!r} is written by the subscription {subscription!r}"
    hint: ClassVar[str] = "append to another topic; --force writes all the same, and the lane reports a foreign write"
    status: ClassVar[int] = 409


@dataclass(eq=False)
class QueryRefused(CallerError):
    field: str
    value: str
    why: str

    code: ClassVar[str] = "query-refused"
    sentence: ClassVar[str] = "{field} cannot be {value!r}: {why}"
    hint: ClassVar[str] = "see the options in docs/reference/cli.md"
