"""Words for what an answer holds, as JSON Schema: every field by name, none beside them.

`object_of` is exact, so that a field that is added to an answer and not to its schema is seen: the tests hold every
answer against it. Where an answer is a report for people, it is an object without more words (`REPORT`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from gateway.http.described import Schema

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
REPORT: Schema = {"type": "object"}
TEXT_MAP: Schema = {"type": "object", "additionalProperties": TEXT}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def null_or(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def choice_of(kind: type[StrEnum]) -> Schema:
    return {"type": "string", "enum": [each.value for each in kind]}


def object_of(fields: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    properties: dict[str, Any] = {**fields, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(fields), "additionalProperties": False}


def with_fields(schema: Schema, **more: Schema) -> Schema:
    return object_of({**{name: schema["properties"][name] for name in schema["required"]}, **more})
