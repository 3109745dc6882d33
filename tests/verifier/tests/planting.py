"""Bugs as they show in a run: each damages a generated world as a gateway (or cluster) with that bug would have."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.verifier.tests.world import (
    BASE_TIME_MS,
    FOREIGN_PRODUCER,
    PRODUCER,
    SECRET,
    Batch,
    Item,
    LaneWorld,
    Rec,
    World,
    Write,
    observe,
)

Damage = Callable[[World], None]
FLIGHTS = 0
"""The lane that is damaged mostly: neither compacted nor begun in the middle."""


def _settle(world: World, lane: LaneWorld) -> None:
    """The gateway's own notes agree with what it did."""
    lane.link()
    observe(lane, random.Random(world.seed))


def _middle(lane: LaneWorld) -> int:
    """A copy in the first third, where there is a visible record on both sides."""
    return len(lane.items) // 3


def _again(item: Item) -> Item:
    return replace(item, is_late_cut=True)


# --- 1 prefix


def lost_in_the_middle(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    del lane.items[_middle(lane)]
    _settle(world, lane)


def lost_at_the_end(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    del lane.items[-2:]
    _settle(world, lane)


def begun_too_late(world: World) -> None:
    lane = world.lanes[1]
    del lane.items[:3]
    _settle(world, lane)


def filtered_without_leave(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    item = lane.items.pop(_middle(lane))
    assert item.of is not None
    lane.reasons[item.of] = "filtered"
    _settle(world, lane)


# --- 2 duplicates


def one_record_twice(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    at = _middle(lane)
    lane.items.insert(at + 1, _again(lane.items[at]))
    _settle(world, lane)


def resent_after_a_timeout(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    at = _middle(lane)
    lane.items[at + 6 : at + 6] = [_again(each) for each in lane.items[at : at + 5]]
    _settle(world, lane)


def begun_again_from_the_earliest(world: World) -> None:
    lane = world.lanes[1]
    lane.items += [replace(each, epoch=1, is_late_cut=True) for each in lane.items[:10]]
    _settle(world, lane)


# --- 3 order


def two_swapped(world: World) -> None:
    _reorder(world, lambda items, at: [items[at + 1], items[at]])


def one_comes_late(world: World) -> None:
    _reorder(world, lambda items, at: [*items[at + 1 : at + 6], items[at]])


def two_batches_swapped(world: World) -> None:
    _reorder(world, lambda items, at: [*items[at + 4 : at + 8], *items[at : at + 4]])


def _reorder(world: World, order: Callable[[list[Item], int], list[Item]]) -> None:
    lane = world.lanes[FLIGHTS]
    at = _middle(lane)
    changed = order(lane.items, at)
    lane.items[at : at + len(changed)] = changed
    lane.is_disordered = True
    _settle(world, lane)


# --- 4 phantoms


def aborted_record_copied(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    offset = next(at for at, reason in lane.reasons.items() if reason == "aborted")
    batch = next(each for each in lane.batches if each.base <= offset <= each.last)
    rec = batch.records[offset]
    place = next(at for at, item in enumerate(lane.items) if item.of is not None and item.of > offset)
    lane.items.insert(place, Item(offset, rec, rec.timestamp_ms, epoch=lane.items[place].epoch))
    _settle(world, lane)


def failed_write_copied(world: World) -> None:
    _insert(world, next(each.rec for each in world.writes if each.outcome == "fail"))


def never_written(world: World) -> None:
    _insert(world, Rec(b"x" * 16, BASE_TIME_MS, b"key", b"nobody wrote this", []))


def record_of_another_partition(world: World) -> None:
    _insert(world, world.lanes[1].items[2].rec)


def _insert(world: World, rec: Rec) -> None:
    lane = world.lanes[FLIGHTS]
    at = _middle(lane)
    lane.items.insert(at, Item(None, rec, rec.timestamp_ms))
    _settle(world, lane)


# --- 5 one value


def value_changed_since(world: World) -> None:
    world.early[world.lanes[FLIGHTS].name] = {3: ("value", b"another value")}


def timestamp_changed_since(world: World) -> None:
    world.early[world.lanes[1].name] = {2: ("timestamp_ms", 5)}


def two_readers_differ(world: World) -> None:
    world.seen[world.lanes[2].name] = {4: ("headers", [(b"other", b"header")])}


def told_another_offset(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    write = world.write_of(_carried(lane).rec)
    assert write.offset is not None
    write.offset += 1


def acknowledged_write_gone(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    marker = next(at for at, reason in lane.reasons.items() if reason == "marker")
    rec = Rec(b"g" * 16, BASE_TIME_MS, b"k", b"v", [], len(world.writes))
    world.writes.append(Write(rec, lane.topic, lane.partition, "writer-9", 0, "ok", marker))


# --- 6 fidelity


def null_turned_empty(world: World) -> None:
    _alter(world, lambda rec: rec.value is None, value=b"")


def header_order_lost(world: World) -> None:
    item = _alterable(world, lambda rec: len(rec.headers) > 2)
    item.rec = replace(item.rec, headers=sorted(item.rec.headers, key=lambda each: (each[0], each[1] or b"")))


def value_altered_with_its_id(world: World) -> None:
    _alter(world, lambda rec: not any(name == b"lab-id" for name, _ in rec.headers), value=b"garbled", key=b"k")


def timestamp_shifted(world: World) -> None:
    world.lanes[FLIGHTS].items[4].timestamp_ms += 1


def append_time_lost(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    item = next(each for each in lane.items if each.timestamp_ms != each.rec.timestamp_ms)
    item.timestamp_ms = item.rec.timestamp_ms


def _alter(world: World, wanted: Callable[[Rec], bool], **fields: Any) -> None:
    item = _alterable(world, wanted)
    item.rec = replace(item.rec, **fields)


def _alterable(world: World, wanted: Callable[[Rec], bool]) -> Item:
    return next(each for lane in world.lanes[:2] for each in lane.items if each.of is not None and wanted(each.rec))


def _carried(lane: LaneWorld) -> Item:
    return next(each for each in lane.items if each.rec.headers)


# --- 7 translation


def run_off_by_one_at_a_marker(world: World) -> None:
    """The marker counted as a record."""
    lane = world.lanes[FLIGHTS]
    at = next(n for n, entry in enumerate(lane.entries) if entry[0] == "gap" and entry[3] == "marker" and n)
    _, first, end, _ = lane.entries[at]
    run = lane.entries[at + 1]
    assert isinstance(first, int)
    assert isinstance(end, int)
    assert isinstance(run[3], int)
    lane.entries[at : at + 2] = [["gap", first, end - 1, "marker"]] if end - first > 1 else []
    lane.entries.insert(at + (end - first > 1), ["run", end - 1, run[2], run[3] + 1])
    observe(lane, random.Random(world.seed))


def last_record_instead_of_batch_end(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    gap = max((each for each in lane.entries if each[0] == "gap"), key=lambda each: each[1])  # type: ignore[arg-type, return-value]
    lane.entries.remove(gap)
    assert isinstance(gap[1], int)
    lane.position = gap[1]
    observe(lane, random.Random(world.seed))
    for each in lane.probes:
        each["position"] = each["source_end"]


def gap_with_a_wrong_reason(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    next(each for each in lane.entries if each[0] == "gap" and each[3] == "aborted")[3] = "marker"
    observe(lane, random.Random(world.seed))


def gap_over_a_copied_record(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    at = next(n for n, entry in enumerate(lane.entries) if entry[0] == "run" and entry[3] > 2)  # type: ignore[operator]
    _, first, destination, count = lane.entries[at]
    assert isinstance(first, int)
    assert isinstance(destination, int)
    assert isinstance(count, int)
    lane.entries[at : at + 1] = [
        ["gap", first, first + 1, "compacted"],
        ["run", first + 1, destination + 1, count - 1],
    ]
    observe(lane, random.Random(world.seed))


def group_moved_one_too_far(world: World) -> None:
    move = world.lanes[FLIGHTS].moves[0]
    move["after"] = int(str(move["after"])) + 1


def answer_off_by_one(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    item = lane.items[9]
    lane.answers.append({"answer": "exact", "source_offset": item.of, "destination_offset": 10})


# --- 8 acknowledgements


def acknowledged_before_the_records(world: World) -> None:
    for lane in world.lanes[:1]:
        at_s, count, entries, position = lane.durable[-1]
        lane.durable[-1] = (at_s, count - 1, entries, position)


def acknowledged_before_the_runs(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    at_s, count, entries, position = lane.durable[-1]
    lane.durable[-1] = (at_s, count, entries[:-2], position)


def acknowledged_too_early(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.acks.append((lane.end, lane.durable[0][0] - 0.1))


def acknowledged_beyond_the_table(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.acks.append((lane.end + 1, 70.0))


# --- 9 fencing


def append_by_an_older_epoch(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.items[-4].epoch = 0


def new_producer_on_retry(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    for item in lane.items[5:9]:
        item.producer = 5555


def epoch_never_given(world: World) -> None:
    world.lanes[1].epochs.remove((PRODUCER, 1))


def sequence_not_the_ordinal(world: World) -> None:
    lane = world.lanes[1]
    lane.sequences[_middle(lane)] = 0


def ordinal_off_by_one(world: World) -> None:
    lane = world.lanes[1]
    lane.sequences[_middle(lane)] = _middle(lane) + 1


# --- 10 authorization


def appended_after_the_revocation(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.probes[-1]["destination_end"] = len(lane.items) - 2


def appended_before_the_grant(world: World) -> None:
    world.lanes[1].probes[0]["destination_end"] = 2


def admitted_by_another_root(world: World) -> None:
    world.trust.append({"what": "admitted", "at_s": 3.0, "claimed": "globex.example", "issuer": "initech.example"})


def canary_record_copied(world: World) -> None:
    _insert(world, next(each.rec for each in world.writes if each.topic == "secret"))


def canary_in_a_log(world: World) -> None:
    world.texts["globex"]["gateway.log"] += f"error: no such topic: {SECRET}\n"


# --- 11 accounting


def foreign_write_not_reported(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.entries = [each for each in lane.entries if each[0] != "foreign"]


def foreign_write_at_the_end(world: World) -> None:
    lane = world.lanes[1]
    stranger = Rec(b"", BASE_TIME_MS, None, b"stranger", [])
    lane.items.append(Item(None, stranger, BASE_TIME_MS, FOREIGN_PRODUCER, 0))


def offset_without_a_batch(world: World) -> None:
    lane = world.lanes[1]
    lane.log_end = len(lane.items) + 1


def more_claimed_than_written(world: World) -> None:
    world.lanes[1].destination_end += 2


def own_copy_reported_as_foreign(world: World) -> None:
    world.lanes[1].entries.append(["foreign", 3, 4])


# --- 12 liveness


def healed_and_not_caught_up(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.probes[3]["position"] = lane.end - 5


def lag_without_a_fault(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.probes[1] |= {"source_end": lane.end, "position": lane.end - 60}


def left_at_the_end(world: World) -> None:
    lane = world.lanes[FLIGHTS]
    lane.probes[-1]["position"] = lane.end - 1


# --- of the twenty bugs, those that are nothing of the above


def transaction_judged_by_another(world: World) -> None:
    """An unsorted abort list: of two transactions of one producer the wrong one is skipped."""
    aborted_record_copied(world)
    lane = world.lanes[FLIGHTS]
    batch = next(each for each in lane.batches if each.transactional and each.base in lane.visible)
    lane.items = [item for item in lane.items if item.of not in batch.records]
    _settle(world, lane)


def record_of_another_incarnation(world: World) -> None:
    """The topic id ignored: the new topic's records spliced behind the old one's."""
    lane = world.lanes[1]
    rec = Rec(b"n" * 16, BASE_TIME_MS, b"new", b"n" * 16, [], len(world.writes))
    world.writes.append(Write(rec, lane.topic, lane.partition, "writer-9", 1, "ok", 0))
    lane.former.append(Batch(0, 0, {0: rec}))
    lane.items.append(Item(None, rec, rec.timestamp_ms, epoch=1))
    _settle(world, lane)


def foreign_write_counted_as_a_copy(world: World) -> None:
    """The answered base offset not compared: every later run is off by one."""
    lane = world.lanes[FLIGHTS]
    stranger = next(at for at, item in enumerate(lane.items) if item.producer == FOREIGN_PRODUCER)
    lane.entries = [each for each in lane.entries if each[0] != "foreign"]
    for entry in lane.entries:
        if entry[0] == "run" and entry[2] > stranger:  # type: ignore[operator]
            entry[2] -= 1  # type: ignore[operator]
