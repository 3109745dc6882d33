"""Writes a generated world down as a run directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.verifier.tests.encoding import encode, marker
from tests.verifier.tests.world import (
    DESTINATION,
    EARLY_S,
    GRANT,
    LAST_S,
    SECRET,
    SOURCE,
    Batch,
    Item,
    LaneWorld,
    World,
    Write,
)

_FLIPPED_AT = 40
"""Within a batch: under the CRC."""


def write_world(world: World, directory: Path) -> Path:
    """The directory."""
    for name in ("writes", "logs", "tables"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "run.json").write_text(json.dumps(_description(world)))
    _write_journal(world, directory / "writes" / "all.jsonl")
    lines: list[dict[str, Any]] = []
    durable: list[dict[str, Any]] = []
    for lane in world.lanes:
        lines += _write_source(lane, directory)
        lines += _write_destination(world, lane, directory)
        durable += _write_durable(lane, directory)
        lines_of_table = [*lane.entries, *lane.answers]
        _table(directory / "tables" / f"{lane.name}.jsonl", lane, lines_of_table, lane.position, lane.destination_end)
    _lines(directory / "logs.jsonl", lines)
    _lines(directory / "durable.jsonl", durable)
    _write_small(world, directory)
    return directory


def _description(world: World) -> dict[str, Any]:
    return {
        "format": 1,
        "seed": world.seed,
        "versions": {"generator": 1},
        "lanes": [_lane(each) for each in world.lanes],
        "granted_topics": [[SOURCE, "flights"], [SOURCE, "seats"]],
        "canaries": [{"text": SECRET, "known_to": ["acme"]}],
        "heal_bound_s": 10.0,
        "lag_bound_records": 50,
    }


def _lane(lane: LaneWorld) -> dict[str, Any]:
    return {
        "lane": lane.name,
        "source": _source(lane),
        "destination": _destination(lane),
        "source_start": lane.start,
        "source_topic_id": "topic-one",
        "compacted": lane.compacted,
        "grant": GRANT,
        "allowed_gaps": list(lane.allowed_gaps),
    }


def _source(lane: LaneWorld) -> dict[str, Any]:
    return {"cluster": SOURCE, "topic": lane.topic, "partition": lane.partition}


def _destination(lane: LaneWorld) -> dict[str, Any]:
    return {"cluster": DESTINATION, "topic": f"acme.{lane.topic}", "partition": lane.partition}


def _write_journal(world: World, path: Path) -> None:
    ends = [{"writer": w, "transaction": name, "outcome": out} for (w, name), out in world.transactions.items()]
    _lines(path, [*(_write(each, {}) for each in world.writes), *ends])


def _write(write: Write, lines: dict[str, Any]) -> dict[str, Any]:
    rec = write.rec
    return lines | {
        "writer": write.writer,
        "n": write.n,
        "id": rec.id.hex(),
        "cluster": SOURCE,
        "topic": write.topic,
        "partition": write.partition,
        "outcome": write.outcome,
        "offset": write.offset,
        "transaction": write.transaction,
        **_contents(rec.key, rec.value, rec.headers),
        "timestamp_ms": rec.timestamp_ms,
    }


def _contents(key: bytes | None, value: bytes | None, headers: list[tuple[bytes, bytes | None]]) -> dict[str, Any]:
    told = [[name.decode(), None if field is None else field.hex()] for name, field in headers]
    return {"key": _digest(key), "value": _digest(value), "headers": told}


def _digest(field: bytes | None) -> str | None:
    return None if field is None else blake2b(field, digest_size=16).hexdigest()


def _write_source(lane: LaneWorld, directory: Path) -> list[dict[str, Any]]:
    """An early reading of the first half, and the last one of everything."""
    half = lane.batches[len(lane.batches) // 2].base
    early = b"".join(_batch(each, set()) for each in lane.batches if each.base < half)
    # A fetch may begin with a batch from before, and end in a cut one.
    kept = [*lane.batches, *lane.tail]
    last = b"".join(_batch(each, lane.later_removed) for each in kept) + _batch(lane.batches[0], set())[:50]
    first = {"start": 0, "first": 0, "topic_id": "topic-one"}
    former = b"".join(_batch(each, set()) for each in lane.former)
    told = _source(lane) | first | {"topic_id": "topic-two", "end": 50, "at_s": EARLY_S - 1}
    return [
        *([_log(directory, f"{lane.name}.source-former", former, told)] if former else []),
        _log(directory, f"{lane.name}.source-early", early, _source(lane) | first | {"end": half, "at_s": EARLY_S}),
        _log(
            directory, f"{lane.name}.source", last, _source(lane) | first | {"end": kept[-1].last + 1, "at_s": LAST_S}
        ),
    ]


def _batch(batch: Batch, removed: set[int]) -> bytes:
    if batch.outcome is not None:
        return marker(batch.base, batch.producer[:2], commit=batch.outcome)
    records = [
        (offset, rec.timestamp_ms, rec.key, rec.value, rec.headers)
        for offset, rec in batch.records.items()
        if offset not in removed
    ]
    return encode(
        batch.base, batch.last, records, codec=batch.codec, producer=batch.producer, transactional=batch.transactional,
        append_time_ms=batch.append_time_ms,
    )  # fmt: skip


def _write_destination(world: World, lane: LaneWorld, directory: Path) -> list[dict[str, Any]]:
    name, place = lane.name, _destination(lane)
    early_end = len(lane.items) // 3
    early = _items(lane, lane.items[:early_end], world.early.get(name, {}))
    last = bytearray(_items(lane, lane.items, {}))
    if (flipped := world.bytes_damaged.get(name)) is not None:
        last[len(_items(lane, lane.items[:flipped], {})) + _FLIPPED_AT] ^= 1
    end = len(lane.items) if lane.log_end is None else lane.log_end
    lines = [
        _log(directory, f"{name}.copy-early", early, place | {"start": 0, "end": early_end, "at_s": EARLY_S}),
        _log(directory, f"{name}.copy", bytes(last), place | {"start": 0, "end": end, "at_s": LAST_S}),
    ]
    seen = directory / "logs" / f"{name}.seen"
    _lines(seen, [_seen(at, item, world.seen.get(name, {})) for at, item in enumerate(lane.items)])
    told = {"start": 0, "end": end, "at_s": LAST_S, "reader": "stock", "kind": "seen", "file": f"logs/{name}.seen"}
    return [*lines, place | told]


def _items(lane: LaneWorld, items: list[Item], damage: dict[int, tuple[str, Any]]) -> bytes:
    out, at, ordinal = [], 0, 0
    while at < len(items):
        first, end = items[at], at + 1
        producer = first.producer, first.epoch
        while end < len(items) and end - at < 5 and not items[end].is_late_cut and end not in lane.sequences:
            if (items[end].producer, items[end].epoch) != producer:
                break
            end += 1
        records = [_told(place, items[place], damage) for place in range(at, end)]
        is_own = producer[0] in {each for each, _ in lane.epochs}
        sequence = lane.sequences.get(at, ordinal) if is_own else 0
        out.append(encode(at, end - 1, records, codec=at % 5, producer=(*producer, sequence)))
        ordinal += end - at if is_own else 0
        at = end
    return b"".join(out)


def _told(at: int, item: Item, damage: dict[int, tuple[str, Any]]) -> tuple[int, int, Any, Any, Any]:
    told = {
        "timestamp_ms": item.timestamp_ms,
        "key": item.rec.key,
        "value": item.rec.value,
        "headers": item.rec.headers,
    }
    told |= dict([damage[at]]) if at in damage else {}
    return at, told["timestamp_ms"], told["key"], told["value"], told["headers"]  # type: ignore[return-value]


def _seen(at: int, item: Item, damage: dict[int, tuple[str, Any]]) -> dict[str, Any]:
    offset, timestamp_ms, key, value, headers = _told(at, item, damage)
    told = {"offset": offset, "timestamp_ms": timestamp_ms, "id": item.rec.id.hex()}
    return told | _contents(key, value, headers)


def _write_durable(lane: LaneWorld, directory: Path) -> list[dict[str, Any]]:
    lines = []
    for number, (at_s, count, entries, position) in enumerate(lane.durable):
        log, table = f"logs/{lane.name}.durable-{number}", f"durable/{lane.name}-{number}.jsonl"
        (directory / log).write_bytes(_items(lane, lane.items[:count], {}))
        (directory / "durable").mkdir(exist_ok=True)
        _table(directory / table, lane, entries, position, count)
        told = {"lane": lane.name, "at_s": at_s, "log": log, "table": table, "destination_end": count}
        lines.append(told)
    return lines


def _table(path: Path, lane: LaneWorld, entries: Sequence[object], position: int, destination_end: int) -> None:
    head = {"lane": lane.name, "start": lane.start, "position": position, "destination_end": destination_end}
    _lines(path, [head, *entries])


def _write_small(world: World, directory: Path) -> None:
    lanes = world.lanes
    _lines(directory / "acks.jsonl", [{"lane": e.name, "position": p, "at_s": t} for e in lanes for p, t in e.acks])
    _lines(directory / "groups.jsonl", [{"lane": e.name} | move for e in lanes for move in e.moves])
    _lines(directory / "ends.jsonl", [{"lane": e.name} | probe for e in lanes for probe in e.probes])
    epochs = [{"lane": e.name, "producer_id": p, "epoch": n, "by": f"gateway-{n}"} for e in lanes for p, n in e.epochs]
    _lines(directory / "epochs.jsonl", epochs)
    _lines(directory / "trust.jsonl", world.trust)
    _lines(directory / "events.jsonl", world.events)
    for org, files in world.texts.items():
        (directory / "texts" / org).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / "texts" / org / name).write_text(text)


def _log(directory: Path, name: str, data: bytes, told: dict[str, Any]) -> dict[str, Any]:
    file = f"logs/{name}.batches"
    (directory / file).write_bytes(data)
    return told | {"reader": "raw", "kind": "raw", "file": file}


def _lines(path: Path, lines: Iterable[object]) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
