"""The demo's records: real flights, each a line that `mesh topic append` takes."""

from __future__ import annotations

import json

import pytest

from gateway.demo.errors import FlightsMissing
from gateway.demo.flights import COUNT, find_file, lines
from gateway.topics.lines import parse_line


def test_a_flight_is_keyed_by_its_tail_number_and_timed_by_its_schedule() -> None:
    (line,) = lines(0, 1)
    record = json.loads(line)
    assert record["key"] == "N14228"
    # 5:15 in New York on the first of January 2013.
    assert record["timestamp"] == 1_357_035_300_000
    flight = record["value"]
    assert (flight["carrier"], flight["flight"], flight["origin"], flight["dest"]) == ("UA", 1545, "EWR", "IAH")
    assert (flight["dep_time"], flight["dep_delay"]) == (517, 2)


def test_what_is_not_known_is_null() -> None:
    cancelled = [json.loads(line) for line in lines(800, 900)]
    assert any(record["value"]["dep_time"] is None for record in cancelled)
    assert "NA" not in {value for record in cancelled for value in record["value"].values()}


def test_every_line_is_a_record_for_append_and_ranges_fit_together() -> None:
    whole = list(lines(0, 500))
    assert [*lines(0, 200), *lines(200, 500)] == whole
    assert {parse_line(line.encode()).partition for line in whole} == {None}


def test_the_count_is_that_of_the_file() -> None:
    assert len(list(lines(COUNT - 3, COUNT + 10))) == 3


def test_without_the_package_the_error_names_the_extra() -> None:
    with pytest.raises(FlightsMissing) as caught:
        find_file("no-such-package")
    assert "stream-mesh[demo]" in caught.value.remedy
