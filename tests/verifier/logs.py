"""Logs as they were read, `logs.jsonl` and the files it names: decoded into columns, transactions resolved.

Whether a transaction's records are visible is decided from the log alone: the next control record of their producer
says it. Aborted lists of a broker are not needed, so a wrong one cannot mislead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.verifier.batches import ABORT, CONTROL, TRANSACTIONAL, Batch, Damaged, outcome_of, read_batches
from tests.verifier.contents import ID_BYTES, content, content_of_parts, possible_ids
from tests.verifier.describing import place_of
from tests.verifier.files import Unreadable, inside, lines_of
from tests.verifier.journals import headers_of, part_of
from tests.verifier.model import ABORTED, CONTROL_RECORD, NONE, OPEN, VISIBLE, Log

Index = Mapping[bytes, int]


def read_log(directory: Path, raw: dict[str, Any], writes: Index) -> Log:
    """One reading, as a line of `logs.jsonl` tells of it. Raises Unreadable."""
    first = raw.get("first", raw["start"])
    log = Log(
        place_of(raw), raw["reader"], raw["start"], first, raw["end"], raw.get("at_s", 0.0), raw.get("topic_id", "")
    )
    log.is_raw = raw["kind"] == "raw"
    path = inside(directory, raw["file"])
    if log.is_raw:
        _read_batches(path, log, writes)
    else:
        _read_seen(path, log, writes)
    return log


def _read_batches(path: Path, log: Log, writes: Index) -> None:
    outcomes: dict[int, int] = {}
    with path.open("rb", buffering=1 << 20) as file:
        for found in read_batches(file):
            if isinstance(found, Damaged):
                log.damaged.append(found)
            elif found.header.last_offset >= log.first:
                _take(log, found, writes, outcomes)
    _resolve(log, outcomes)


def _take(log: Log, batch: Batch, writes: Index, outcomes: dict[int, int]) -> None:
    header = batch.header
    if header.attributes & CONTROL:
        try:
            outcomes[len(log.base_offsets)] = outcome_of(batch.records[0]) if batch.records else ABORT
        except ValueError as error:
            log.damaged.append(Damaged(batch.position, header.base_offset, str(error)))
    log.base_offsets.append(header.base_offset)
    log.last_offsets.append(header.last_offset)
    log.attributes.append(header.attributes)
    log.producer_ids.append(header.producer_id)
    log.producer_epochs.append(header.producer_epoch)
    log.sequences.append(header.base_sequence)
    log.first_records.append(len(log.offsets))
    log.positions.append(batch.position)
    kind = CONTROL_RECORD if header.attributes & CONTROL else VISIBLE
    for offset, timestamp_ms, key, value, headers in batch.records:
        if offset >= log.first:
            log.offsets.append(offset)
            log.timestamps.append(timestamp_ms)
            log.digests += content(key, value, headers)
            log.writes.append(_write_of(possible_ids(key, value, headers), writes))
            log.kinds.append(kind)


def _write_of(ids: tuple[bytes, ...], writes: Index) -> int:
    for each in ids:
        if (found := writes.get(each, NONE)) != NONE:
            return found
    return NONE


def _resolve(log: Log, outcomes: dict[int, int]) -> None:
    """Backwards, since the end of a transaction comes after its records."""
    log.last_stable = log.end
    ends: dict[int, int] = {}
    next_record = len(log.offsets)
    for batch in range(len(log.base_offsets) - 1, -1, -1):
        first, attributes, producer = log.first_records[batch], log.attributes[batch], log.producer_ids[batch]
        if attributes & CONTROL:
            ends[producer] = outcomes.get(batch, ABORT)
        elif attributes & TRANSACTIONAL:
            if producer not in ends:
                _mark(log, first, next_record, OPEN)
                if first < next_record:
                    log.last_stable = log.offsets[first]
            elif ends[producer] == ABORT:
                _mark(log, first, next_record, ABORTED)
        next_record = first


def _mark(log: Log, first: int, end: int, kind: int) -> None:
    log.kinds[first:end] = bytes([kind]) * (end - first)


def _read_seen(path: Path, log: Log, writes: Index) -> None:
    log.last_stable = log.end
    for number, line in lines_of(path):
        try:
            log.digests += content_of_parts(part_of(line["key"]), part_of(line["value"]), headers_of(line["headers"]))
            log.offsets.append(line["offset"])
            log.timestamps.append(line["timestamp_ms"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"{path.name}:{number}", f"{type(error).__name__}: {error}") from None
        identity = bytes.fromhex(line.get("id") or "")
        log.writes.append(writes.get(identity, NONE) if len(identity) == ID_BYTES else NONE)
        log.kinds.append(VISIBLE)
