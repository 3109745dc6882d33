"""Records as JSON lines, both ways.

    {"key": "N14228", "value": {"dep_delay": 2}, "headers": [["source", "gate"]], "timestamp": 1357034400000,
     "partition": 0}

A key, value or header value is text, null, or any other JSON, which is stored as its compact JSON text. Bytes that
are not UTF-8 stand as base64 in `key_b64`, `value_b64`, and for a header value as `{"b64": "…"}`. What `format_record`
writes, `parse_line` reads; it passes over `offset`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, from_json, to_json

from mesh.batch.records import Headers

FIELDS = frozenset({"key", "value", "key_b64", "value_b64", "headers", "timestamp", "partition", "offset"})
_MAX_I64 = (1 << 63) - 1


class BadLine(ValueError):
    """Why a line is no record; the appender turns it into LineRefused with the line's number."""


class LineRecord(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    partition: int | None = None


def parse_line(line: bytes) -> LineRecord:
    """The record in one line. Raises BadLine."""
    try:
        given = from_json(line)
    except ValueError as error:
        raise BadLine(f"it is not JSON ({_json_fault(error)})") from error
    if type(given) is not dict:
        raise BadLine("it is not a JSON object")
    # the plain form first: nearly every line has it, and this function is half of what appending costs
    key = given.get("key")
    if len(given) == 2 and type(key) is str and "value" in given:
        value = given["value"]
        return LineRecord(key.encode(), value.encode() if type(value) is str else _bytes(value))
    return _parse_rest(given)


def _parse_rest(given: dict[str, Any]) -> LineRecord:
    if not given.keys() <= FIELDS:
        unknown = min(given.keys() - FIELDS)
        raise BadLine(f'it has the unknown field {unknown[:40]!r}; a record\'s content belongs in "value"')
    if given.keys().isdisjoint({"key", "value", "key_b64", "value_b64"}):
        raise BadLine('it has neither "key" nor "value"')
    return LineRecord(
        _field(given, "key"),
        _field(given, "value"),
        _headers(given.get("headers")),
        _whole(given, "timestamp", _MAX_I64),
        _whole(given, "partition", 1 << 31),
    )


def _field(given: dict[str, Any], name: str) -> bytes | None:
    encoded = given.get(f"{name}_b64")
    if encoded is None:
        return _bytes(given.get(name))
    if name in given:
        raise BadLine(f'it has both "{name}" and "{name}_b64"')
    return _base64(encoded, f"{name}_b64")


def _bytes(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    return to_json(value)


def _base64(value: object, name: str) -> bytes:
    if not isinstance(value, str):
        raise BadLine(f'"{name}" is not text')
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadLine(f'"{name}" is not base64') from error


def _headers(value: object) -> Headers:
    if not value:
        return ()
    if not isinstance(value, list):
        raise BadLine('"headers" is not a list of [name, value] pairs')
    return tuple(_header(item) for item in value)


def _header(item: object) -> tuple[str, bytes | None]:
    if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
        raise BadLine("a header is not a [name, value] pair with a text name")
    name, value = item
    if isinstance(value, dict) and value.keys() == {"b64"}:
        return name, _base64(value["b64"], "b64")
    return name, _bytes(value)


def _whole(given: dict[str, Any], name: str, end: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < end:
        raise BadLine(f'"{name}" is not a whole number from 0 on')
    return value


def _json_fault(error: ValueError) -> str:
    return str(error)[:80]


def format_record(
    partition: int, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers
) -> bytes:
    """One line without its end."""
    line: dict[str, Any] = {
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp_ms,
        "key": key,
        "value": value,
    }
    if headers:
        line["headers"] = [[name, _shown(content)] for name, content in headers]
    try:
        return to_json(line)  # takes bytes as UTF-8 text
    except PydanticSerializationError:
        return to_json(_with_base64(line))


def _with_base64(line: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, content in line.items():
        if isinstance(content, bytes) and not _is_text(content):
            shown[f"{name}_b64"] = base64.b64encode(content).decode()
        else:
            shown[name] = content
    return shown


def _shown(content: bytes | None) -> object:
    if content is None or _is_text(content):
        return content
    return {"b64": base64.b64encode(content).decode()}


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
