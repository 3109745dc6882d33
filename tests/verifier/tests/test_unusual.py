"""What looks odd and is right must pass, and no edit of a copy, however small, goes unseen."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifier.findings import Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run
from tests.verifier.tests.encoding import encode
from tests.verifier.tests.world import BASE_TIME_MS, GRANT, Batch, Filler, Item, LaneWorld, Rec, World, observe, probe
from tests.verifier.tests.writing import write_world

OF_RECORDS = {"prefix", "no duplicate", "no reorder", "no phantom", "fidelity"}


def failing(directory: Path) -> set[str]:
    return {each.check for each in judge(read_run(directory)) if each.verdict is Verdict.FAIL}


def settle(world: World, lane: LaneWorld) -> None:
    lane.link()
    observe(lane, random.Random(world.seed))


def test_an_open_transaction_holds_back_what_is_behind_it(tmp_path: Path) -> None:
    world = World.build(11)
    lane = world.lanes[0]
    writer = Filler(world, random.Random(1), lane.topic, lane.partition, 0, False)
    opened, behind = writer.write("tx-open"), writer.write()
    world.transactions["writer-t", "tx-open"] = "info"
    lane.tail = [
        Batch(lane.end, lane.end, {lane.end: opened}, producer=(600, 0, 0), transactional=True),
        Batch(lane.end + 1, lane.end + 1, {lane.end + 1: behind}),
    ]
    for at, rec in enumerate((opened, behind)):
        world.write_of(rec).offset = lane.end + at
    assert failing(write_world(world, tmp_path / "held")) == set()
    lane.items.append(Item(None, behind, behind.timestamp_ms, epoch=1))
    settle(world, lane)
    assert failing(write_world(world, tmp_path / "copied")) == {"no phantom"}


def test_records_may_be_kept_back_where_the_terms_say_so(tmp_path: Path) -> None:
    world = World.build(12)
    lane = world.lanes[0]
    item = lane.items.pop(5)
    assert item.of is not None
    lane.reasons[item.of], lane.allowed_gaps = "filtered", ("filtered",)
    settle(world, lane)
    assert failing(write_world(world, tmp_path)) == set()


def test_a_lane_that_is_under_way_needs_to_be_a_prefix_only(tmp_path: Path) -> None:
    world = World.build(13)
    lane = world.lanes[0]
    del lane.items[-3:]
    lane.link()
    kept = [each.of for each in lane.items if each.of is not None]
    lane.position = kept[-1] + 1
    lane.entries = [each for each in lane.entries if each[0] == "foreign" or int(str(each[1])) < lane.position]
    observe(lane, random.Random(world.seed))
    lane.moves = []
    write_world(world, tmp_path)
    assert "prefix" in failing(tmp_path)
    described = json.loads((tmp_path / "run.json").read_text())
    described["lanes"][0]["settled"] = False
    (tmp_path / "run.json").write_text(json.dumps(described))
    assert failing(tmp_path) == set()


def test_a_grant_that_was_opened_again_allows_what_came_then(tmp_path: Path) -> None:
    world = World.build(14)
    lane = world.lanes[0]
    end = len(lane.items)
    world.trust += [
        {"what": "revoked", "at_s": 82.0, "grant": GRANT},
        {"what": "opened", "at_s": 88.0, "grant": GRANT},
    ]
    lane.probes[4:4] = [probe(85.0, lane.end, lane.end, end - 4), probe(87.0, lane.end, lane.end, end - 4)]
    lane.probes.sort(key=lambda each: float(str(each["at_s"])))
    assert failing(write_world(world, tmp_path / "silent")) == set()
    next(each for each in lane.probes if each["asked_s"] == 87.0)["destination_end"] = end - 2
    assert failing(write_world(world, tmp_path / "not-silent")) == {"authorization"}


def test_a_history_that_the_source_lost_is_told_and_not_held_against_the_copy(tmp_path: Path) -> None:
    """An unclean election: the last two records were copied, then others took their offsets."""
    world = World.build(15)
    lane = world.lanes[0]
    lost = [Rec(bytes([at]) * 16, BASE_TIME_MS, b"lost", bytes([at]) * 20, []) for at in range(2)]
    writer = Filler(world, random.Random(1), lane.topic, lane.partition, 0, False)
    first, items = lane.end, lane.items
    for at, rec in enumerate(lost):
        rec.number = len(world.writes)
        world.writes.append(world.write_of(writer.write()))
        world.writes[-1].rec, world.writes[-1].offset = rec, first + at
        items.append(Item(None, rec, rec.timestamp_ms, epoch=1))
    writer.plain(lane)
    for offset in range(first, lane.end):
        items.append(Item(offset, lane.visible[offset], lane.timestamp(offset), epoch=1))
    settle(world, lane)
    lane.entries.append(["foreign", len(items) - (lane.end - first) - 2, len(items) - (lane.end - first)])
    write_world(world, tmp_path)
    old = encode(first, first + 1, [(first + at, r.timestamp_ms, r.key, r.value, ()) for at, r in enumerate(lost)])
    (tmp_path / "logs" / "old").write_bytes(old)
    place = {"cluster": "acme", "topic": lane.topic, "partition": lane.partition}
    told = {"topic_id": "topic-one", "reader": "before", "kind": "raw", "at_s": 5.0, "start": 0, "first": first}
    index = tmp_path / "logs.jsonl"
    index.write_text(json.dumps(place | told | {"end": first + 2, "file": "logs/old"}) + "\n" + index.read_text())
    assert "one value" in failing(tmp_path)
    described = json.loads((tmp_path / "run.json").read_text()) | {"rewrites": [place | {"from": first}]}
    (tmp_path / "run.json").write_text(json.dumps(described))
    assert failing(tmp_path) == set()


edits = st.lists(
    st.tuples(st.sampled_from(["drop", "repeat", "swap", "alter", "stranger"]), st.integers(0, 1 << 16)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(edits, st.integers(0, 1 << 16))
def test_no_edit_of_a_copy_goes_unseen(edits: list[tuple[str, int]], seed: int) -> None:
    world = World.build(seed, steps=3)
    lane = world.lanes[1]
    before = [(each.of, each.rec) for each in lane.items]
    for kind, number in edits:
        edit(lane, kind, number % max(1, len(lane.items) - 1))
    lane.is_disordered = True
    settle(world, lane)
    with TemporaryDirectory() as directory:
        found = failing(write_world(world, Path(directory)))
    is_same = [(each.of, each.rec) for each in lane.items] == before
    assert bool(found & OF_RECORDS) != is_same, (edits, found)


def edit(lane: LaneWorld, kind: str, at: int) -> None:
    items = lane.items
    if kind == "drop":
        del items[at]
    elif kind == "repeat":
        items.insert(at + 1, Item(items[at].of, items[at].rec, items[at].timestamp_ms, epoch=items[at].epoch))
    elif kind == "swap":
        items[at : at + 2] = reversed(items[at : at + 2])
    elif kind == "alter":
        rec = items[at].rec
        items[at].rec = Rec(rec.id, rec.timestamp_ms, b"other", rec.value, rec.headers, rec.number)
    else:
        items.insert(at, Item(None, Rec(b"", BASE_TIME_MS, b"x", b"stranger", []), BASE_TIME_MS))
