"""Records as JSON: three encodings, each exact."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.errors import BodyRefused
from gateway.http.fields import Fields
from gateway.local.http_records import RECORD, Encoding, new_record, shown_record
from gateway.local.values import NewRecord, ReadRecord

BYTES = st.none() | st.binary(max_size=20) | st.text(max_size=10).map(str.encode)
HEADERS = st.lists(st.tuples(st.text(max_size=5), BYTES), max_size=3).map(tuple)
RECORDS = st.builds(NewRecord, BYTES, BYTES, HEADERS, st.integers(0, 1 << 50))


def sent(body: dict[str, Any], encoding: Encoding) -> NewRecord:
    return new_record(Fields(body, RECORD), encoding)


def read(record: NewRecord, encoding: Encoding) -> dict[str, Any]:
    shown = shown_record(
        3, ReadRecord(7, record.timestamp_ms or 0, record.key, record.value, record.headers), 9, encoding
    )
    assert shown.splitlines() == [shown]
    found: dict[str, Any] = json.loads(shown)
    assert (found.pop("partition"), found.pop("offset"), found.pop("next_offset")) == (3, 7, 9)
    return found


@given(RECORDS, st.sampled_from([Encoding.BASE64, Encoding.TEXT]))
def test_what_was_read_is_sent_again_as_the_same_bytes(record: NewRecord, encoding: Encoding) -> None:
    assert sent(read(record, encoding), encoding) == record


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(JSON_VALUES.filter(lambda value: value is not None))
def test_a_json_value_is_read_as_it_was_sent(value: object) -> None:
    record = sent({"key": "k", "value": value}, Encoding.JSON)

    assert record.key == b"k"
    assert json.loads(record.value or b"") == value
    assert read(record, Encoding.JSON)["value"] == value


@given(BYTES)
def test_any_value_can_be_read_as_json(value: bytes | None) -> None:
    found = read(NewRecord(None, value), Encoding.JSON)

    if "value_base64" in found:
        assert found["value_base64"] == b64encode(value or b"").decode()
    else:
        assert (json.loads(value) if value is not None else None) == found["value"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (b'{"a":1.10,"b":12345678901234567890}', '"value":{"a":1.10,"b":12345678901234567890}'),
        (b'{\r\n "a": 1\n}', '"value":{   "a": 1 }'),
        (b"1e999", '"value":1e999'),
        ('"a\u2028b\x85"'.encode(), '"value":"a\\u2028b\\u0085"'),
        (b"null", '"value_base64":"bnVsbA=="'),
        (b"NaN", '"value_base64":"TmFO"'),
        (b"[" * 5000, f'"value_base64":"{b64encode(b"[" * 5000).decode()}"'),
        (b"\xff", '"value_base64":"/w=="'),
    ],
)
def test_json_keeps_its_own_text(stored: bytes, shown: str) -> None:
    """No digit is lost on the way, and what is no JSON, or would mean no value, is not made into any."""
    assert shown in shown_record(0, ReadRecord(0, 0, None, stored), 1, Encoding.JSON)


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        ({"value": "a b"}, "base64", "field 'value' of a record is not base64"),
        ({"value": "YQ"}, "base64", "field 'value' of a record is not base64"),
        ({"value": "YQ==YQ=="}, "base64", "field 'value' of a record is not base64"),
        ({"value": 7}, "base64", "field 'value' of a record is not base64"),
        ({"key": "ä"}, "base64", "field 'key' of a record is not base64"),
        ({"value": 7}, "text", "field 'value' of a record is not a text"),
        ({"value": "\ud800"}, "text", "field 'value' of a record is no text"),
        ({"value": "\ud800"}, "json", "field 'value' of a record is no text"),
        ({"value": float("inf")}, "json", "field 'value' of a record has a number that JSON has not"),
        ({"value": "a", "value_base64": "YQ=="}, "text", "a record has both value and value_base64"),
        ({"value_base64": "%"}, "text", "field 'value_base64' of a record is not base64"),
        ({"headers": [{"name": "a", "value": "%"}]}, "base64", "field 'value' of a record is not base64"),
        ({"headers": [{"value": "YQ=="}]}, "base64", "headers[0]: field 'name' must be a text"),
        ({"headers": [{"name": "\ud800"}]}, "text", "field 'name' of a header is no text"),
        ({"headers": {"a": "b"}}, "text", "field 'headers' must be a list of objects"),
        ({"timestamp_ms": -1}, "text", "field 'timestamp_ms' must be a whole number"),
        ({"vaule": "a"}, "text", "field 'vaule' is not known, did you mean 'value'?"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(body: dict[str, Any], encoding: str, why: str) -> None:
    with pytest.raises(BodyRefused) as caught:
        sent(body, Encoding(encoding))

    assert why in str(caught.value)


def test_null_and_nothing_are_no_value_and_empty_is_one() -> None:
    for encoding in Encoding:
        assert sent({"value": None}, encoding) == sent({}, encoding) == NewRecord()
    assert sent({"key": "", "value": ""}, Encoding.TEXT) == NewRecord(b"", b"")
