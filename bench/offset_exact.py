"""10^7 records with 10^6 holes: every offset translated both ways, against a plain array of what must come out.

    python -m bench.offset_exact [--records 10000000] [--json FILE]

The source log is made of real batches: compacted ones with holes inside, transactions with their commit markers, and
aborted ones. They go the way that a lane's go: `cut` decides what leaves, `LaneProgress` accepts and places it and says
what is to be stored; the stored pages are then loaded as after a restart, and the loaded map is asked, too. The array
is made from the plan of the log alone. Exit code 1 where one answer differs.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tracemalloc
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from struct import pack_into
from time import perf_counter

from mesh.batch.header import CONTROL_BIT, TRANSACTIONAL_BIT, split
from mesh.batch.records import Record
from mesh.batch.stamp import Producer
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import load_lane
from mesh.lanes.export import cut
from mesh.lanes.progress import LaneProgress
from mesh.log import AbortedTransaction, Fetched, LogRange
from mesh.offsets.answers import Answer, Exact, InGap
from mesh.offsets.map import OffsetMap
from tests.support.records import TIMESTAMP_MS, batch_of, batch_with_holes, body, framed

LANE = LaneId(SubscriptionName("bench"), TopicName("bench"), 0)
ANSWER_BYTES = 1 << 20
LOOKUPS = 200_000
STORE_EVERY = 10_000
"""Breaks between two puts, as a busy lane makes them."""
NO_COPY = -1
"""In the array of answers: a gap at the end, with no copy after it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Batches with what lies between them; `visible` says of each source offset whether it has a record."""

    batches: tuple[tuple[int, bytes], ...]
    """Relative base offsets and bytes."""
    visible: tuple[bool, ...]
    holes: int
    aborted_at: int | None = None
    """Where the aborted transaction begins in it."""

    @property
    def records(self) -> int:
        return sum(self.visible)


@dataclass
class Plan:
    """The source log as units, and what each offset must answer."""

    units: list[Unit]
    order: list[int] = field(default_factory=list)
    records: int = 0
    holes: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    records: int
    holes: int
    source_offsets: int
    wrong_forward: int
    wrong_back: int
    wrong_after_reload: int
    map_bytes_in_memory: int
    map_bytes_stored: int
    breaks: int
    lookup_forward_us: float
    lookup_back_us: float
    mirrored_in_s: float
    load_s: float


def _value(number: int) -> Record:
    return Record(number, TIMESTAMP_MS + number, None, b"%d" % number)


def _dense(count: int, *, transactional: bool = False, producer_id: int = -1) -> bytes:
    attributes = TRANSACTIONAL_BIT if transactional else 0
    return batch_with_holes([_value(n) for n in range(count)], attributes=attributes, producer_id=producer_id)


def _marker(kind: int, producer_id: int) -> bytes:
    record = Record(0, TIMESTAMP_MS, b"\0\0\0" + bytes([kind]), bytes(6))
    return batch_of(framed(body(record)), 1, attributes=CONTROL_BIT | TRANSACTIONAL_BIT, producer_id=producer_id)


def compacted(rng: random.Random) -> Unit:
    """A hundred records in one batch, ten stretches of one to three offsets taken out between them."""
    visible: list[bool] = []
    for _ in range(10):
        visible += [True] * 10 + [False] * rng.randint(1, 3)
    deltas = [delta for delta, seen in enumerate(visible) if seen]
    batch = batch_with_holes([_value(delta) for delta in deltas], last_offset_delta=len(visible) - 1)
    return Unit(((0, batch),), tuple(visible), 10)


def committed() -> Unit:
    """Ten records and their commit marker."""
    return Unit(((0, _dense(10, transactional=True, producer_id=5)), (10, _marker(1, 5))), (True,) * 10 + (False,), 1)


def aborted() -> Unit:
    """Ten records, then a transaction of seven that aborts: one hole with two reasons."""
    batches = ((0, _dense(10)), (10, _dense(7, transactional=True, producer_id=6)), (17, _marker(0, 6)))
    return Unit(batches, (True,) * 10 + (False,) * 8, 1, aborted_at=10)


def plan_of(records: int, rng: random.Random) -> Plan:
    """Six tenths of the records from compacted batches, three from committed transactions, one beside aborted ones."""
    units = [compacted(rng) for _ in range(64)] + [committed(), aborted()]
    order = [rng.randrange(64) for _ in range(records * 6 // 1000)]
    order += [64] * (records * 3 // 100) + [65] * (records // 100)
    rng.shuffle(order)
    return Plan(units, order, sum(units[n].records for n in order), sum(units[n].holes for n in order))


def answers_of(plan: Plan) -> tuple[array[int], array[int]]:
    """For each source offset the place of its copy, or of the next one; for each destination offset its source."""
    forward, back = array("q"), array("q")
    for number in plan.order:
        for seen in plan.units[number].visible:
            forward.append(len(back))
            if seen:
                back.append(len(forward) - 1)
    for offset in range(len(forward) - 1, -1, -1):
        if forward[offset] < len(back):
            break
        forward[offset] = NO_COPY
    return forward, back


def fetches(plan: Plan) -> Iterator[Fetched]:
    """The log in answers of about a megabyte, as a broker gives it: aborted transactions are named beside."""
    data, transactions, base = bytearray(), [], 0
    for number in plan.order:
        unit = plan.units[number]
        for at, batch in unit.batches:
            place = len(data)
            data += batch
            pack_into(">q", data, place, base + at)
        if unit.aborted_at is not None:
            transactions.append(AbortedTransaction(6, base + unit.aborted_at))
        base += len(unit.visible)
        if len(data) >= ANSWER_BYTES:
            yield Fetched(memoryview(bytes(data)), tuple(transactions), LogRange(0, base, base))
            data, transactions = bytearray(), []
    if data:
        yield Fetched(memoryview(bytes(data)), tuple(transactions), LogRange(0, base, base))


def mirror(plan: Plan) -> tuple[LaneProgress, dict[str, bytes]]:
    """What a lane knows after the log went through it, and what it has stored."""
    progress = LaneProgress.begin(LANE, TopicId("0" * 32), 0, 0, Producer(1, 0))
    stored: dict[str, bytes] = {}
    for fetched in fetches(plan):
        end = fetched.range.end
        while progress.position < end:
            segment = cut(fetched, progress.position, progress.ordinal, ANSWER_BYTES)
            assert segment is not None, progress
            counts = [header.records_count for batch in segment.batches for header, _ in split(memoryview(batch))]
            for placement in progress.accept(segment, counts):
                progress.placed(placement, progress.expected(placement) if placement.missing else None)
        if progress.breaks_to_store >= STORE_EVERY:
            _store(progress, stored)
    _store(progress, stored)
    return progress, stored


def _store(progress: LaneProgress, stored: dict[str, bytes]) -> None:
    checkpoint, entries = progress.to_store()
    for key, value in entries.items():
        if value is None:
            stored.pop(key, None)
        else:
            stored[key] = value
    progress.stored(checkpoint)


def wrong_forward(offset_map: OffsetMap, forward: array[int], back: array[int]) -> int:
    """How many source offsets are answered otherwise than the array says."""
    wrong, translate = 0, offset_map.translate
    for offset, place in enumerate(forward):
        answer: Answer = translate(offset)
        if place != NO_COPY and back[place] == offset:
            wrong += answer != Exact(place) or not isinstance(answer, Exact)
        else:
            following = None if place == NO_COPY else place
            wrong += not isinstance(answer, InGap) or answer.next_offset != following
    return wrong


def wrong_back(offset_map: OffsetMap, back: array[int]) -> int:
    translate_back = offset_map.translate_back
    return sum(
        answer.__class__ is not Exact or answer[0] != source
        for source, answer in ((source, translate_back(place)) for place, source in enumerate(back))
    )


def lookup_us(ask: object, end: int, rng: random.Random) -> float:
    assert callable(ask)
    offsets = [rng.randrange(end) for _ in range(LOOKUPS)]
    began = perf_counter()
    for offset in offsets:
        ask(offset)
    return round((perf_counter() - began) / LOOKUPS * 1e6, 2)


def measure(records: int) -> Result:
    rng = random.Random(1)
    plan = plan_of(records, rng)
    began = perf_counter()
    progress, stored = mirror(plan)
    mirrored_s = perf_counter() - began
    forward, back = answers_of(plan)
    kept = progress.map
    began = perf_counter()
    load_lane(LANE, stored)
    load_s = perf_counter() - began
    tracemalloc.start()
    loaded = load_lane(LANE, stored)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert loaded is not None
    reloaded = loaded[1]
    covered = kept.position == len(forward) and kept.destination_offset == len(back)
    return Result(
        records=plan.records,
        holes=plan.holes,
        source_offsets=len(forward),
        wrong_forward=wrong_forward(kept, forward, back) if covered else len(forward),
        wrong_back=wrong_back(kept, back) if covered else len(back),
        wrong_after_reload=0 if reloaded == kept else len(forward),
        map_bytes_in_memory=held,
        map_bytes_stored=sum(len(key) + len(value) for key, value in stored.items()),
        breaks=kept.end_break,
        lookup_forward_us=lookup_us(kept.translate, kept.position, rng),
        lookup_back_us=lookup_us(kept.translate_back, kept.destination_offset, rng),
        mirrored_in_s=round(mirrored_s, 1),
        load_s=round(load_s, 2),
    )


def text(result: Result) -> str:
    return "\n".join(
        [
            f"offset map: {result.records:,} records with {result.holes:,} holes, "
            f"{result.source_offsets:,} source offsets, each translated, and each destination offset",
            f"  wrong answers: {result.wrong_forward} source to destination, {result.wrong_back} back, "
            f"{result.wrong_after_reload} after loading what was stored",
            f"  size: {result.breaks:,} breaks, {result.map_bytes_in_memory / 1e6:.1f} MB in memory, "
            f"{result.map_bytes_stored / 1e6:.1f} MB stored",
            f"  lookup: {result.lookup_forward_us} us source to destination, {result.lookup_back_us} us back; "
            f"loading takes {result.load_s} s",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    result = measure(given.records)
    print(text(result))
    if given.json:
        given.json.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return 1 if result.wrong_forward or result.wrong_back or result.wrong_after_reload else 0


if __name__ == "__main__":
    sys.exit(main())
