"""Records as JSON lines: what is written can be read, and bad lines say why."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.topics.lines import BadLine, LineRecord, format_record, parse_line
from mesh.batch.records import Headers

contents = st.none() | st.binary(max_size=20) | st.text(max_size=20).map(str.encode)
header_lists = st.lists(st.tuples(st.text(max_size=8), contents), max_size=3).map(tuple)


@given(contents, contents, header_lists, st.integers(0, 1 << 62), st.integers(0, 100), st.integers(0, 1 << 62))
def test_what_read_prints_append_takes(
    key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, partition: int, offset: int
) -> None:
    line = format_record(partition, offset, timestamp_ms, key, value, headers)

    assert parse_line(line) == LineRecord(key, value, headers, timestamp_ms, partition)
    assert b"\n" not in line


@given(st.binary(max_size=60))
def test_any_line_is_a_record_or_a_documented_refusal(line: bytes) -> None:
    with suppress(BadLine):
        assert isinstance(parse_line(line), LineRecord)


def test_an_object_becomes_its_compact_json_text() -> None:
    record = parse_line(b'{"key": 7, "value": {"delay": 2.5, "late": true, "name": "J\\u00fcrg"}}')

    assert record == LineRecord(b"7", '{"delay":2.5,"late":true,"name":"Jürg"}'.encode())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"bad", "it is not JSON"),
        (b"[1]", "it is not a JSON object"),
        (b"{}", 'it has neither "key" nor "value"'),
        (b'{"value": 1, "delay": 2}', "it has the unknown field 'delay'"),
        (b'{"value": 1, "value_b64": "aa"}', 'it has both "value" and "value_b64"'),
        (b'{"value_b64": "?"}', '"value_b64" is not base64'),
        (b'{"value": 1, "headers": [["a"]]}', "a header is not a [name, value] pair"),
        (b'{"value": 1, "headers": {"a": 1}}', '"headers" is not a list'),
        (b'{"value": 1, "timestamp": -1}', '"timestamp" is not a whole number'),
        (b'{"value": 1, "partition": true}', '"partition" is not a whole number'),
        (b'{"value": 1, "timestamp": 9223372036854775808}', '"timestamp" is not a whole number'),
    ],
)
def test_a_bad_line_says_why(line: bytes, why: str) -> None:
    with pytest.raises(BadLine) as caught:
        parse_line(line)

    assert why in str(caught.value)
