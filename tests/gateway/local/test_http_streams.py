"""What a reading looks like as lines and as events."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.errors import BodyRefused
from gateway.local import http_positions as positions_json
from gateway.local.http_positions import POSITIONS_TEXT
from gateway.local.http_records import Encoding
from gateway.local.http_streams import Events, Lines, form_of
from gateway.local.values import Begun, PartitionRecords, ReadRecord
from mesh.cluster_errors import TopicAbsent


def records(*offsets: int) -> Sequence[ReadRecord]:
    return [ReadRecord(offset, 5, None, b"%d" % offset) for offset in offsets]


PARTS = [PartitionRecords(0, records(7, 9), 12), PartitionRecords(2, records(40), 41), PartitionRecords(1, (), 6)]
BEGUN = Begun({0: 7, 1: 3, 2: 40}, "a-lease")


def events(stream: bytes) -> list[dict[str, str]]:
    """As a browser reads them."""
    blocks = [block for block in stream.decode().split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.splitlines() if line != ":") for block in blocks]


def test_a_line_is_a_record_and_says_what_to_commit_after_it() -> None:
    found = [json.loads(line) for line in Lines(Encoding.TEXT).records(PARTS).splitlines()]

    assert [(each["partition"], each["offset"], each["next_offset"]) for each in found] == [
        (0, 7, 8), (0, 9, 12), (2, 40, 41),
    ]  # fmt: skip


def test_lines_have_nothing_but_records_until_something_goes_wrong() -> None:
    lines = Lines(Encoding.TEXT)

    assert lines.begun(BEGUN) == lines.idle() == lines.ended() == b""
    assert json.loads(lines.failed(TopicAbsent("flights")))["problem"]["code"] == "topic-absent"


def test_events_say_where_they_begin_where_each_leads_and_how_they_end() -> None:
    form = Events(Encoding.TEXT)
    stream = form.begun(BEGUN) + form.records(PARTS) + form.idle() + form.ended()

    begun, first, second, third, idle, end = events(stream)
    assert begun["event"] == "begun"
    assert json.loads(begun["data"])["lease"] == "a-lease"
    assert [each["id"] for each in (begun, first, second, third, end)] == [
        "0:7,1:3,2:40", "0:8,1:3,2:40", "0:12,1:3,2:40", "0:12,1:3,2:41", "0:12,1:6,2:41",
    ]  # fmt: skip
    assert "event" not in first
    assert json.loads(first["data"])["offset"] == 7
    assert idle == {}
    assert end["event"] == "end"


def test_a_problem_is_an_event_of_its_own_name() -> None:
    """`error` is what EventSource calls a broken connection."""
    (event,) = events(Events(Encoding.TEXT).failed(TopicAbsent("flights")))

    assert event["event"] == "problem"
    assert json.loads(event["data"])["status"] == 404


@given(st.lists(st.integers(1, 3), max_size=6), st.integers(0, 5))
def test_whoever_goes_on_from_any_event_gets_the_rest_and_nothing_twice(gaps: list[int], cut: int) -> None:
    offsets = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    parts = [PartitionRecords(0, records(*offsets), sum(gaps) + 5)]
    form = Events(Encoding.TEXT)
    seen = events(form.begun(Begun({0: 0})) + form.records(parts))[: cut + 1]

    position = positions_json.parsed(seen[-1]["id"])[0]
    taken = [json.loads(each["data"])["offset"] for each in seen[1:]]
    assert taken + [offset for offset in offsets if offset >= position] == offsets


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", Lines),
        ("*/*", Lines),
        ("application/x-ndjson", Lines),
        ("text/event-stream", Events),
        ("text/html, Text/Event-Stream;q=0.9", Events),
    ],
)
def test_events_are_for_whoever_accepts_them(accept: str, kind: type) -> None:
    assert isinstance(form_of(accept, Encoding.TEXT), kind)


@given(st.dictionaries(st.integers(0, 999_999_999), st.integers(0, 10**18 - 1), min_size=1, max_size=20))
def test_positions_as_a_text_are_read_as_they_were_written(positions: dict[int, int]) -> None:
    text = positions_json.as_text(positions)

    assert POSITIONS_TEXT.fits(text)
    assert positions_json.parsed(text) == positions


def test_a_partition_that_is_named_twice_is_refused() -> None:
    with pytest.raises(BodyRefused, match="twice"):
        positions_json.parsed("0:1,0:2")


@pytest.mark.parametrize("text", ["0", "0:", ":1", "0:1,", "0:-1", "a:1", "0:1 ", "0:" + "9" * 19, "٣:1"])
def test_what_are_no_positions_is_refused(text: str) -> None:
    assert not POSITIONS_TEXT.fits(text)
