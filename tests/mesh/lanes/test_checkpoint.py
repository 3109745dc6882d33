"""Storing and loading a lane: increments add up, and what disagrees is damage."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.batch.stamp import Producer
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import (
    PAGE,
    Checkpoint,
    LaneStateDamaged,
    checkpoint_of,
    entries,
    load_checkpoint,
    load_former,
    load_lane,
    load_ledger,
    recorded,
    succession,
)
from mesh.lanes.ledger import LedgerEntry
from mesh.lanes.losses import LossKind
from mesh.offsets.map import OffsetMap
from mesh.spans import GapReason

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 1)
TOPIC = TopicId("0123456789abcdef" * 2)
CHECKPOINT_KEY = "lane/flights/departures/1/checkpoint"


class Stored:
    """A state store, and the lane as it was last put there."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.durable: Checkpoint | None = None
        self.put_bytes = 0

    def put(self, offset_map: OffsetMap, ordinal: int, unchanged_breaks: int | None = None) -> Checkpoint:
        checkpoint = checkpoint_of(offset_map, TOPIC, ordinal, offset_map.destination_offset, Producer(7, 0), 4)
        for key, value in entries(LANE, checkpoint, offset_map, self.durable, unchanged_breaks).items():
            if value is None:
                del self.entries[key]
            else:
                self.entries[key] = value
                self.put_bytes = len(value)
        self.durable = checkpoint
        return checkpoint

    def page(self, index: int) -> str:
        return f"lane/flights/departures/1/map/{index:016x}"


def grow(offset_map: OffsetMap, runs: int) -> None:
    for _ in range(runs):
        offset_map.add_records(offset_map.position, offset_map.destination_offset, 3)
        offset_map.add_gap(offset_map.position, 1, GapReason.MARKER)


def two_pages() -> tuple[Stored, OffsetMap]:
    stored, offset_map = Stored(), OffsetMap(100, 50)
    grow(offset_map, PAGE // 2 + 10)
    stored.put(offset_map, offset_map.records)
    return stored, offset_map


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, PAGE), st.integers(0, 3 * PAGE)), max_size=6))
def test_increments_with_trims_between_them_load_as_the_map(steps: list[tuple[int, int]]) -> None:
    stored, offset_map = Stored(), OffsetMap(100, 50)
    for ordinal_base, (runs, trim_to) in enumerate(steps, 0):
        grow(offset_map, runs)
        if ordinal_base % 2:
            offset_map.trim(100 + 2 * trim_to)
        checkpoint = stored.put(offset_map, 1000 + offset_map.records)
        assert load_lane(LANE, stored.entries) == (checkpoint, offset_map)


def test_keys_begin_with_the_lane_and_pages_are_named_by_their_first_break() -> None:
    stored, offset_map = two_pages()
    assert list(stored.entries) == [CHECKPOINT_KEY, stored.page(0), stored.page(PAGE)]
    assert stored.page(PAGE).endswith("/map/0000000000000100")
    assert stored.entries[stored.page(PAGE)] == offset_map.breaks_since(PAGE)


def test_a_put_without_new_breaks_writes_the_checkpoint_alone() -> None:
    stored, offset_map = two_pages()
    offset_map.add_gap(offset_map.position, 5, GapReason.MARKER)
    checkpoint = checkpoint_of(offset_map, TOPIC, offset_map.records, offset_map.destination_offset, Producer(7, 0))
    assert list(entries(LANE, checkpoint, offset_map, stored.durable)) == [CHECKPOINT_KEY]


def test_a_put_rewrites_no_page_that_is_full() -> None:
    stored, offset_map = two_pages()
    grow(offset_map, 1)
    checkpoint = checkpoint_of(offset_map, TOPIC, offset_map.records, offset_map.destination_offset, Producer(7, 0))
    assert list(entries(LANE, checkpoint, offset_map, stored.durable)) == [CHECKPOINT_KEY, stored.page(PAGE)]


def test_trimming_removes_the_pages_wholly_before() -> None:
    stored, offset_map = two_pages()
    offset_map.trim(offset_map.position)
    stored.put(offset_map, 3 * (PAGE // 2 + 10))
    assert list(stored.entries) == [CHECKPOINT_KEY, stored.page(PAGE)]
    loaded = load_lane(LANE, stored.entries)
    assert loaded is not None
    assert loaded[1] == offset_map


def test_nothing_stored_is_no_lane_and_other_lanes_do_not_count() -> None:
    stored, _ = two_pages()
    assert load_lane(LANE, {}) is None
    other = {key.replace("/1/", "/11/"): value for key, value in stored.entries.items()}
    assert load_lane(LANE, other) is None
    assert load_lane(LANE, other | stored.entries) is not None


def test_a_checkpoint_newer_or_older_than_its_pages_is_damage() -> None:
    stored, offset_map = two_pages()
    before = dict(stored.entries)
    grow(offset_map, 1)
    stored.put(offset_map, offset_map.records)
    for mixed in (
        stored.entries | {CHECKPOINT_KEY: before[CHECKPOINT_KEY]},
        before | {CHECKPOINT_KEY: stored.entries[CHECKPOINT_KEY]},
    ):
        with pytest.raises(LaneStateDamaged, match=r"the page of break 256"):
            load_lane(LANE, mixed)


def test_a_checkpoint_of_another_moment_is_damage_even_where_the_page_was_trimmed() -> None:
    stored, offset_map = Stored(), OffsetMap(0)
    grow(offset_map, 10)
    offset_map.trim(20)
    old = stored.put(offset_map, 100)
    checkpoint_before = stored.entries[CHECKPOINT_KEY]
    grow(offset_map, 1)
    stored.put(offset_map, 103)
    assert old.first_break > 0
    with pytest.raises(LaneStateDamaged):
        load_lane(LANE, stored.entries | {CHECKPOINT_KEY: checkpoint_before})


def damaged(stored: Stored, **changes: object) -> dict[str, bytes]:
    document = json.loads(stored.entries[CHECKPOINT_KEY]) | changes
    return stored.entries | {CHECKPOINT_KEY: json.dumps(document).encode()}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"source_position": 3}, "out of range"),
        ({"ordinal": 5}, "counts 5"),
        ({"destination_offset": 60}, "the checkpoint 60"),
        ({"map_start": 99}, "out of order"),
        ({"map_destination_start": 51}, "out of order"),
        ({"stored_breaks": 100}, "1 pages"),
        ({"stored_breaks": 10**12}, "pages"),
        ({"first_break": 2}, "out of order"),
        ({"format": 2}, "format 1"),
        ({"ordinal": "5"}, "illegal ordinal"),
        ({"ordinal": True}, "illegal ordinal"),
        ({"source_position": -1}, "illegal source_position"),
        ({"producer": [1]}, None),
        ({"producer": None}, None),
        ({"topic_id": "x"}, "topic id"),
        ({"colour": 5}, "colour"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_map_is_damage(changes: dict[str, object], why: str | None) -> None:
    stored, _ = two_pages()
    with pytest.raises(LaneStateDamaged, match=why):
        load_lane(LANE, damaged(stored, **changes))


def test_a_run_that_reaches_further_than_its_map_is_damage() -> None:
    stored, offset_map = Stored(), OffsetMap(0)
    offset_map.add_records(0, 0, 5)
    stored.put(offset_map, 5)
    with pytest.raises(LaneStateDamaged, match="the map holds 6 records, the checkpoint counts 5"):
        load_lane(LANE, damaged(stored, source_position=6))


@pytest.mark.parametrize("page", [0, PAGE])
def test_a_missing_torn_or_foreign_page_is_damage(page: int) -> None:
    stored, _ = two_pages()
    whole = stored.entries[stored.page(page)]
    for value in (b"", whole[:-1], whole[:-16], whole[16:], whole + whole[-16:], bytes(len(whole))):
        with pytest.raises(LaneStateDamaged):
            load_lane(LANE, stored.entries | {stored.page(page): value})
    with pytest.raises(LaneStateDamaged, match="2 pages"):
        load_lane(LANE, {key: value for key, value in stored.entries.items() if key != stored.page(page)})
    with pytest.raises(LaneStateDamaged, match="2 pages"):
        load_lane(LANE, stored.entries | {stored.page(2 * PAGE): whole})


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff", b"null", b"{}"])
def test_a_checkpoint_that_is_not_ours_is_damage(value: bytes) -> None:
    with pytest.raises(LaneStateDamaged) as caught:
        load_lane(LANE, {CHECKPOINT_KEY: value})
    assert str(caught.value).startswith("the stored state of lane flights/departures/1 is damaged: ")


def test_pages_without_a_checkpoint_are_damage() -> None:
    stored, _ = two_pages()
    del stored.entries[CHECKPOINT_KEY]
    with pytest.raises(LaneStateDamaged, match="no checkpoint"):
        load_lane(LANE, stored.entries)


def test_entries_insist_on_a_checkpoint_of_the_same_moment() -> None:
    stored, offset_map = two_pages()
    assert stored.durable is not None
    with pytest.raises(AssertionError):
        entries(LANE, replace(stored.durable, stored_breaks=1), offset_map, None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, PAGE), st.integers(0, 5 * PAGE), st.booleans()), max_size=6))
def test_a_map_that_was_cut_back_and_grew_again_loads_as_it_is(steps: list[tuple[int, int, bool]]) -> None:
    stored, offset_map = Stored(), OffsetMap(100, 50)
    for runs, cut_by, grows in steps:
        grow(offset_map, runs)
        stored.put(offset_map, 10_000 + offset_map.records)
        offset_map.cut_back(max(90, offset_map.position - cut_by))
        unchanged = offset_map.end_break
        if grows:
            offset_map.add_gap(offset_map.position, 2, GapReason.LOST)
        checkpoint = stored.put(offset_map, 10_000 + offset_map.records, unchanged)
        assert load_lane(LANE, stored.entries) == (checkpoint, offset_map)


def test_a_new_incarnation_leaves_the_former_one_whole_and_the_ledger_counts() -> None:
    stored, offset_map = two_pages()
    assert stored.durable is not None
    former, begun = stored.durable, OffsetMap(0, offset_map.destination_offset)
    checkpoint = checkpoint_of(
        begun, TOPIC, 0, begun.destination_start, Producer(8, 0), incarnation=former.incarnation + 1, losses=1
    )
    entry = LedgerEntry(LossKind.RECREATED, 100, offset_map.position, 50, offset_map.destination_offset, 5, TOPIC)
    for key, value in (succession(LANE, former, checkpoint, begun) | recorded(LANE, 0, entry)).items():
        assert value is not None
        stored.entries[key] = value
    assert load_lane(LANE, stored.entries) == (checkpoint, begun)
    assert load_former(LANE, stored.entries, 0) == (former, offset_map)
    assert load_ledger(LANE, stored.entries) == (entry,)
    stored.durable = checkpoint
    grow(begun, PAGE)
    checkpoint = replace(
        checkpoint_of(begun, TOPIC, begun.records, begun.destination_offset, Producer(8, 0)), incarnation=1
    )
    for key, value in entries(LANE, checkpoint, begun, stored.durable).items():
        assert value is not None
        stored.entries[key] = value
    assert load_lane(LANE, stored.entries) == (checkpoint, begun)
    assert load_former(LANE, stored.entries, 0) == (former, offset_map)


def test_a_ledger_with_an_entry_missing_or_damaged_is_damage() -> None:
    stored, _ = two_pages()
    document = json.loads(stored.entries[CHECKPOINT_KEY]) | {"losses": 1}
    stored.entries[CHECKPOINT_KEY] = json.dumps(document).encode()
    for value in (None, b"{}", b"no", b'{"format":1,"kind":9}'):
        if value is not None:
            stored.entries[f"lane/flights/departures/1/loss/{0:08x}"] = value
        with pytest.raises(LaneStateDamaged):
            load_ledger(LANE, stored.entries)


def test_a_lane_that_lost_nothing_is_stored_as_an_older_gateway_reads_it() -> None:
    stored = Stored()
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 4)
    checkpoint = stored.put(offset_map, 4)
    said = json.loads(stored.entries[CHECKPOINT_KEY]).keys()
    assert not said & {"incarnation", "losses", "source_epochs", "destination_topic_id"}
    assert load_lane(LANE, stored.entries) is not None
    assert load_checkpoint(LANE, stored.entries) == checkpoint
