"""What the checks judge: the run, and of each lane whose two logs are there, their alignment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.verifier.alignment import Alignment, align, batch_of
from tests.verifier.batches import APPEND_TIME
from tests.verifier.contents import DIGEST_BYTES
from tests.verifier.findings import Tally
from tests.verifier.merging import merge
from tests.verifier.model import KINDS, NONE, OK, VISIBLE, Described, Journal, Lane, Log, Place, Run

_NO_END = 1 << 62


@dataclass(frozen=True, slots=True)
class Case:
    run: Run
    alignments: dict[str, Alignment]

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return self.run.described.lanes

    def aligned(self, tally: Tally) -> Iterator[Alignment]:
        """Of each lane of which both logs were read raw; `tally` is told of the others."""
        for lane in self.lanes:
            found = self.alignments.get(lane.name)
            if found is None:
                tally.absent(f"{lane.name}: there is no raw reading of both logs")
            else:
                yield found

    def told(self, log: Log, record: int) -> dict[str, object]:
        """A record as evidence: where it lies, in which batch, what it holds and who wrote it."""
        evidence: dict[str, object] = {
            "log": str(log.place),
            "offset": log.offsets[record],
            "digest": log.digest(record).hex(),
            "timestamp_ms": log.timestamps[record],
            "kind": KINDS[log.kinds[record]],
        }
        batch = batch_of(log, record)
        if batch >= 0 and log.base_offsets[batch] <= log.offsets[record] <= log.last_offsets[batch]:
            evidence["batch"] = batch_told(log, batch)
        if self.run.journal is not None:
            evidence["written"] = self.run.journal.told(self.write_of(log, record))
        return evidence

    def write_of(self, log: Log, record: int) -> int:
        """The write that a record is of, in any partition; NONE where the journal has none."""
        if self.run.journal is None or log.writes[record] != NONE:
            return log.writes[record]
        return self.run.journal.find(log.digest(record))


def batch_told(log: Log, batch: int) -> dict[str, int]:
    return {
        "base_offset": log.base_offsets[batch],
        "last_offset": log.last_offsets[batch],
        "attributes": log.attributes[batch],
        "producer_id": log.producer_ids[batch],
        "producer_epoch": log.producer_epochs[batch],
        "base_sequence": log.sequences[batch],
        "position_in_file": log.positions[batch],
    }


def prepare(run: Run) -> Case:
    return Case(run, {lane.name: found for lane in run.described.lanes if (found := _aligned(run, lane)) is not None})


def readings_of(run: Run, lane: Lane) -> list[Log]:
    """Of the lane's source, of its incarnation."""
    wanted = lane.source_topic_id
    return [each for each in run.logs.get(lane.source, []) if not wanted or each.topic_id in ("", wanted)]


def _aligned(run: Run, lane: Lane) -> Alignment | None:
    sources, destinations = readings_of(run, lane), run.logs.get(lane.destination, [])
    if not sources or not destinations:
        return None
    if run.journal is not None and (lane.compacted or sources[-1].first > 0):
        sources = [_written(run.journal, lane, sources), *sources]
    producers = None if run.given is None else {each.producer_id for each in run.given if each.lane == lane.name}
    starts = [
        each.destination_start
        for each in run.described.lanes
        if each.destination == lane.destination and each.destination_start > lane.destination_start
    ]
    rewritten = rewritten_from(run.described, lane.source)
    source = merge(sources, rewritten)
    destination = merge(destinations, rewritten_from(run.described, lane.destination))
    ends_before, orphans = min(starts, default=_NO_END), _orphans(sources, rewritten)
    return align(lane, source, destination, ends_before, producers, orphans, run.journal)


def _written(journal: Journal, lane: Lane, sources: list[Log]) -> Log:
    """What nobody read before compaction or retention took it, as its writers tell of it."""
    number = journal.place_names.index(lane.source) if lane.source in journal.place_names else NONE
    first, end = min(each.first for each in sources), sources[-1].end
    log = Log(lane.source, "journal", 0, first, end, topic_id=sources[-1].topic_id)
    has_append_time = any(each & APPEND_TIME for log in sources for each in log.attributes)
    writes = [
        write
        for write, where in enumerate(journal.places)
        if where == number and journal.outcomes[write] == OK and not journal.is_aborted(write)
        and ((lane.compacted and 0 <= journal.offsets[write] < end) or 0 <= journal.offsets[write] < first)
    ]  # fmt: skip
    for write in sorted(writes, key=lambda each: journal.offsets[each]):
        log.offsets.append(journal.offsets[write])
        log.digests += journal.digest(write)
        log.timestamps.append(NONE if has_append_time else journal.timestamps[write])
        log.writes.append(write)
        log.kinds.append(VISIBLE)
    return log


def rewritten_from(described: Described, place: Place) -> int | None:
    return min((offset for where, offset in described.rewrites if where == place), default=None)


def _orphans(sources: list[Log], rewritten: int | None) -> frozenset[bytes]:
    """Records of a history that the source lost, as the run says itself."""
    if rewritten is None:
        return frozenset()
    present = set(_digests(sources[-1], rewritten))
    return frozenset(digest for log in sources[:-1] for digest in _digests(log, rewritten) if digest not in present)


def _digests(log: Log, from_offset: int) -> list[bytes]:
    pages = (log.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES] for at in range(len(log)))
    return [bytes(page) for offset, page in zip(log.offsets, pages, strict=True) if offset >= from_offset]
