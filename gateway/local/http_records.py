"""Records as JSON: what an application sends and gets, in one of three encodings.

    base64  (the default) keys, values and header values are base64
    text    they are text
    json    values are JSON, kept as they are; keys and header values are text

What is not of the encoding (bytes that are no UTF-8, a value that is no JSON) stands as base64 in `key_base64` and
`value_base64`, so that any record can be sent and read in any encoding.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from enum import StrEnum

from gateway.http.described import Json, Number, Objects, Shape, Text
from gateway.http.errors import BodyRefused
from gateway.http.fields import Fields
from gateway.local.values import NewRecord, ReadRecord


class Encoding(StrEnum):
    BASE64 = "base64"
    TEXT = "text"
    JSON = "json"


HEADER: Shape = {"name": Text(), "value": Text(required=False), "value_base64": Text(required=False)}
RECORD: Shape = {
    "key": Text(required=False),
    "key_base64": Text(required=False),
    "value": Json(),
    "value_base64": Text(required=False),
    "headers": Objects(HEADER),
    "timestamp_ms": Number(),
}


def new_record(fields: Fields, encoding: Encoding) -> NewRecord:
    """The record that an application sends. Raises BodyRefused."""
    return NewRecord(
        _bytes(fields, "key", encoding, _text_bytes),
        _bytes(fields, "value", encoding, _json_bytes if encoding is Encoding.JSON else _text_bytes),
        tuple((_name(each), _bytes(each, "value", encoding, _text_bytes)) for each in fields.objects("headers")),
        fields.number("timestamp_ms"),
    )


def _name(header: Fields) -> str:
    name = header.text("name")
    if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise BodyRefused("field 'name' of a header is no text")
    return name


def _bytes(fields: Fields, name: str, encoding: Encoding, plain: Callable[[object], bytes]) -> bytes | None:
    """None where it is not given, or null."""
    beside = f"{name}_base64"
    if beside in fields:
        if name in fields:
            raise BodyRefused(f"a record has both {name} and {beside}")
        return _unpacked(fields.text(beside), beside)
    if name not in fields:
        return None
    value = fields.json(name)
    if encoding is Encoding.BASE64:
        return _unpacked(value, name)
    try:
        return plain(value)
    except ValueError as error:  # also of what UTF-8 has no bytes for
        raise BodyRefused(
            f"field {name!r} of a record {error if type(error) is ValueError else 'is no text'}"
        ) from None


def _unpacked(value: object, name: str) -> bytes:
    try:
        if isinstance(value, str):
            return b64decode(value, validate=True)
    except (NotBase64, ValueError):
        pass
    raise BodyRefused(f"field {name!r} of a record is not base64")


def _text_bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("is not a text")  # noqa: TRY004 - a word for the caller, not a mistake of ours
    return value.encode()


def _json_bytes(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("has brackets within brackets") from None
    except UnicodeEncodeError:
        raise
    except ValueError:
        raise ValueError("has a number that JSON has not") from None


def shown_record(partition: int, record: ReadRecord, next_offset: int, encoding: Encoding) -> str:
    """One line of JSON, without its end."""
    shown = _SHOWN[encoding]
    headers = ",".join(f'{{"name":{_quoted(name)},{_SHOWN_TEXT[encoding]("value", v)}}}' for name, v in record.headers)
    return (
        f'{{"partition":{partition},"offset":{record.offset},"timestamp_ms":{record.timestamp_ms},'
        f"{_SHOWN_TEXT[encoding]('key', record.key)},{shown('value', record.value)},"
        f'"headers":[{headers}],"next_offset":{next_offset}}}'
    )


_encoded: Callable[[str], str] = json.JSONEncoder(ensure_ascii=False).encode
# what ends a line for some, Python's splitlines among them, is escaped: in JSON it stands within texts only
_ODD_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
_NO_ENDS = _ODD_ENDS | str.maketrans("\r\n", "  ")


def _quoted(text: str) -> str:
    return _encoded(text) if text.isascii() else _encoded(text).translate(_ODD_ENDS)


def _as_base64(name: str, data: bytes | None) -> str:
    return f'"{name}":null' if data is None else f'"{name}":"{b64encode(data).decode()}"'


def _as_text(name: str, data: bytes | None) -> str:
    if data is None:
        return f'"{name}":null'
    try:
        return f'"{name}":{_quoted(data.decode())}'
    except UnicodeDecodeError:
        return _as_base64(f"{name}_base64", data)


def _as_json(name: str, data: bytes | None) -> str:
    """The value's own text: numbers keep their digits. Ends of lines between its parts become spaces."""
    if data is None:
        return f'"{name}":null'
    try:
        text = data.decode()
        is_null = _strict(text) is None  # null is what stands for no value
    except (ValueError, RecursionError):
        is_null = True
    return _as_base64(f"{name}_base64", data) if is_null else f'"{name}":{text.translate(_NO_ENDS)}'


def _no_json(word: str) -> None:
    """NaN and infinities, which Python takes for JSON."""
    raise ValueError(word)


_strict = json.JSONDecoder(parse_constant=_no_json).decode
_SHOWN_TEXT = {Encoding.BASE64: _as_base64, Encoding.TEXT: _as_text, Encoding.JSON: _as_text}
_SHOWN = _SHOWN_TEXT | {Encoding.JSON: _as_json}
