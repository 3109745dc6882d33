"""A stretch of offsets in one question."""

from __future__ import annotations

import pytest

from gateway.admin.offsets import MAX_COUNT, stretch
from gateway.http.errors import BodyRefused
from gateway.translating import OffsetNotMapped, Place
from mesh.ids import LaneId, SubscriptionName, TopicName
from mesh.offsets.map import OffsetMap
from mesh.offsets.view import OffsetView
from mesh.spans import GapReason

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)


@pytest.fixture
def place() -> Place:
    """Source 10 to 13 at 0 to 3, 13 to 15 compacted, 15 to 17 at 3 to 5."""
    made = OffsetMap(10)
    made.add_records(10, 0, 3)
    made.add_gap(13, 2, GapReason.COMPACTED)
    made.add_records(15, 3, 2)
    return Place(LANE, OffsetView(made, made.position, made.destination_offset))


def test_each_offset_of_a_stretch_has_its_answer(place: Place) -> None:
    answers = stretch(place, 11, 5, reverse=False)
    assert [(each["source_offset"], each["destination_offset"]) for each in answers] == [
        (11, 1), (12, 2), (13, 3), (14, 3), (15, 3),
    ]  # fmt: skip
    assert [each["answer"] for each in answers] == ["exact", "exact", "gap", "gap", "exact"]


def test_a_stretch_ends_with_the_map(place: Place) -> None:
    assert [each["destination_offset"] for each in stretch(place, 15, MAX_COUNT, reverse=False)] == [3, 4]
    assert [each["source_offset"] for each in stretch(place, 2, MAX_COUNT, reverse=True)] == [12, 15, 16]


def test_a_stretch_begins_within_the_map(place: Place) -> None:
    for offset, reverse in ((9, False), (17, False), (5, True)):
        with pytest.raises(OffsetNotMapped):
            stretch(place, offset, 5, reverse=reverse)


def test_the_length_of_a_stretch_is_bounded(place: Place) -> None:
    for count in (0, MAX_COUNT + 1):
        with pytest.raises(BodyRefused, match="from 1 to"):
            stretch(place, 10, count, reverse=False)
