"""What a request may say, declared once beside its handler: read from there, checked from there, documented from there.

    @operation("make a share", body={"name": Text(), "topics": Texts()}, answers={201: SHARE})
    async def create(request): fields = await fields_of(request)

A. A handler reads nothing that is not declared, nor as another kind: that is a mistake of ours, and an assertion.
B. What is not declared is refused, in a body (`gateway.http.fields`) and in a query (`gateway.http.query`).
`gateway.http.openapi` makes the document; `gateway.http.schemas` has the words for what an answer holds.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar

from aiohttp import web

Schema: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_NUMBER = 1 << 56
"""Times in milliseconds and offsets lie below it."""
_ATTRIBUTE = "operation"


@dataclass(frozen=True, slots=True)
class Text:
    required: bool = True
    choices: tuple[str, ...] = ()
    kind: ClassVar[str] = "a text"

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and (not self.choices or value in self.choices)

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.choices)} if self.choices else {"type": "string"}


@dataclass(frozen=True, slots=True)
class Texts:
    required: bool = False
    kind: ClassVar[str] = "a list of texts"

    def fits(self, value: object) -> bool:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)

    def schema(self) -> Schema:
        return {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class TextMap:
    """An object of texts; numbers, true and false stand for their text."""

    required: bool = False
    kind: ClassVar[str] = "an object of text values"

    def fits(self, value: object) -> bool:
        return isinstance(value, dict) and not any(isinstance(each, dict | list | None) for each in value.values())

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


@dataclass(frozen=True, slots=True)
class Objects:
    """A list of objects, each of the shape `of`."""

    of: Mapping[str, Kind] = field(default_factory=dict)
    required: bool = False
    most: int | None = None
    """None: as many as a body holds; else one at least."""

    @property
    def kind(self) -> str:
        return "a list of objects" if self.most is None else f"a list of 1 to {self.most} objects"

    def fits(self, value: object) -> bool:
        if not isinstance(value, list) or (self.most is not None and not 1 <= len(value) <= self.most):
            return False
        return all(isinstance(each, dict) for each in value)

    def schema(self) -> Schema:
        found: dict[str, Any] = {"type": "array", "items": body_schema(self.of)}
        return found if self.most is None else found | {"minItems": 1, "maxItems": self.most}


@dataclass(frozen=True, slots=True)
class Flag:
    required: bool = False
    kind: ClassVar[str] = "true or false"

    def fits(self, value: object) -> bool:
        return isinstance(value, bool)

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `least` to `most`."""

    required: bool = False
    least: int = 0
    most: int = MAX_NUMBER - 1

    @property
    def kind(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def fits(self, value: object) -> bool:
        return type(value) is int and self.least <= value <= self.most

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Formed:
    """A text of one form."""

    pattern: str
    example: str
    required: bool = False
    longest: int = 4096

    @property
    def kind(self) -> str:
        return f"a text such as {self.example}, of at most {self.longest} characters"

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and len(value) <= self.longest and bool(re.fullmatch(self.pattern, value))

    def schema(self) -> Schema:
        return {
            "type": "string",
            "pattern": f"^(?:{self.pattern})$",
            "maxLength": self.longest,
            "examples": [self.example],
        }


@dataclass(frozen=True, slots=True)
class Json:
    """Any JSON."""

    required: bool = False
    kind: ClassVar[str] = "JSON"

    def fits(self, value: object) -> bool:
        return True

    def schema(self) -> Schema:
        return {}


Kind: TypeAlias = Text | Texts | TextMap | Objects | Flag | Number | Formed | Json
Shape: TypeAlias = Mapping[str, Kind]

NOTHING: Shape = {}


@dataclass(frozen=True, slots=True)
class Operation:
    """One path and method, for whoever calls it. `body` None: none is read."""

    summary: str
    body: Shape | None
    query: Shape
    answers: Mapping[int, Schema]
    streams: bool
    """The answer is newline-delimited JSON; the schema is a line's."""
    takes_lines: bool
    """The body is newline-delimited JSON, read as it comes."""
    is_open: bool
    """No token is asked for, and the answer is plain text."""
    headers: Shape
    has_events: bool
    """A stream is answered as server-sent events, too, where the caller accepts them."""


_Function = TypeVar("_Function", bound=Handler)


def operation(
    summary: str,
    *,
    body: Shape | None = None,
    query: Shape = NOTHING,
    answers: Mapping[int, Schema] | Schema | None = None,
    streams: bool = False,
    takes_lines: bool = False,
    is_open: bool = False,
    headers: Shape = NOTHING,
    has_events: bool = False,
) -> Callable[[_Function], _Function]:
    """Declares what the handler is asked and answers. `answers` by status, or the schema of 200."""
    given: Any = answers or {}
    by_status = given if given and all(isinstance(key, int) for key in given) else {200: given}
    declared = Operation(summary, body, query, by_status, streams, takes_lines, is_open, headers, has_events)

    def mark(handler: _Function) -> _Function:
        setattr(handler, _ATTRIBUTE, declared)
        return handler

    return mark


def operation_of(handler: object) -> Operation | None:
    found = getattr(handler, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None


def asked_of(request: web.Request) -> Operation:
    found = operation_of(request.match_info.handler)
    assert found is not None, f"{request.path} is not described"
    return found


def body_schema(shape: Shape) -> Schema:
    """The JSON Schema of a body; what is optional may be null, too."""
    properties: dict[str, Any] = {}
    for name, kind in shape.items():
        schema = dict(kind.schema())
        if not kind.required and "type" in schema:
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        properties[name] = schema
    required = [name for name, kind in shape.items() if kind.required]
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})
