"""All readings of one partition as one log: the last reading, and beside it what earlier ones still had.

Compaction and retention take records away between two readings; a copy of such a record is right, and so is none.
Where a reading conflicts with a later one the later one counts here; check 5 tells of the conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.verifier.contents import DIGEST_BYTES
from tests.verifier.model import Log


@dataclass(slots=True)
class Merged:
    log: Log
    """Its batches are those of the last reading."""
    gone: set[int] = field(default_factory=set)
    """Records that the last reading does not have, by index."""
    start: int = 0
    """The first offset that any reading covers."""


def merge(readings: Sequence[Log], rewritten_from: int | None = None) -> Merged:
    """`readings` of one incarnation, the earliest first; what was told to be rewritten is the last one's alone."""
    last = readings[-1]
    start = min(each.first for each in readings)
    missing = _missing(readings, rewritten_from)
    if not missing:
        return Merged(last, start=start)
    merged = Log(last.place, last.reader, last.start, start, last.end, last.at_s, last.topic_id)
    merged.last_stable, merged.damaged = last.last_stable, last.damaged
    merged.base_offsets, merged.last_offsets, merged.attributes = last.base_offsets, last.last_offsets, last.attributes
    merged.producer_ids, merged.producer_epochs = last.producer_ids, last.producer_epochs
    merged.sequences, merged.positions = last.sequences, last.positions
    gone = set()
    places = sorted([*((offset, 1, at, last) for at, offset in enumerate(last.offsets)), *missing], key=lambda e: e[:2])
    for offset, present, at, log in places:
        if not present:
            gone.add(len(merged.offsets))
        merged.offsets.append(offset)
        merged.digests += log.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
        merged.timestamps.append(log.timestamps[at])
        merged.writes.append(log.writes[at])
        merged.kinds.append(log.kinds[at])
    return Merged(merged, gone, start)


def _missing(readings: Sequence[Log], rewritten_from: int | None) -> list[tuple[int, int, int, Log]]:
    """Of earlier readings, the later the better: records at offsets that no later reading has."""
    last = readings[-1]
    if len(readings) == 1:
        return []
    have = set(last.offsets)
    missing = []
    for log in reversed(readings[:-1]):
        for at, offset in enumerate(log.offsets):
            if offset not in have and (rewritten_from is None or offset < rewritten_from):
                have.add(offset)
                missing.append((offset, 0, at, log))
    return missing
