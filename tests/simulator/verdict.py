"""The oracle: what the copy holds and the map says, against the plain lists of what was written.

The copy is read raw, by another implementation of the format. It is looked at whenever the lane acknowledges, and whole
at the end. Of the code under test only the decoding of what it stored, and the map's answers, are used: these are what
is judged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from aiokafka.record.default_records import DefaultRecordBatch

from mesh.ids import LaneId, Partition
from mesh.lanes.checkpoint import Checkpoint, load_lane, load_ledger
from mesh.offsets.answers import Exact, Foreign, InGap
from mesh.offsets.map import OffsetMap
from mesh.spans import GapReason
from mesh.testing.cluster import FakeCluster
from tests.simulator.truth import Content, Held, Truth

FOREIGN = -1


@dataclass
class Copy:
    """The destination partition as a stock reader sees it, read on from where it was read last."""

    cluster: FakeCluster
    partition: Partition
    truth: Truth
    violations: list[str]
    numbers: list[int] = field(default_factory=list)
    """By destination offset: which record lies there, FOREIGN where somebody else's."""
    places: dict[int, int] = field(default_factory=dict)
    excused: set[int] = field(default_factory=set)
    """Offsets of records that came in twice because nothing could tell: see `Broker.restart`."""
    _batches: int = 0
    _last: int = -1

    def read(self) -> None:
        entries = self.cluster.log(self.partition)._entries
        for _, data in entries[self._batches :]:
            batch = DefaultRecordBatch(bytearray(data))
            if not batch.validate_crc():
                self.violations.append(f"fidelity: the batch at {batch.base_offset} does not fit its CRC")
            if batch.is_control_batch:  # the marker of a strict cut
                self.numbers.append(FOREIGN)
                continue
            for record in batch:
                content = Content(record.key, record.value, tuple(record.headers), record.timestamp)
                self._take(record.offset, content)
        self._batches = len(entries)

    def last_batch(self) -> list[tuple[int, int]]:
        """The offset and the number of each record of the log's last batch, which is one of the lane."""
        batch = DefaultRecordBatch(bytearray(self.cluster.log(self.partition)._entries[-1].data))
        return [(record.offset, int((record.value or b"").removeprefix(self.truth.prefix))) for record in batch]

    def forget(self) -> None:
        """The log has lost something: read it anew."""
        self.numbers.clear()
        self.places.clear()
        self.excused.clear()
        self._batches, self._last = 0, -1

    def _take(self, offset: int, content: Content) -> None:
        if offset != len(self.numbers):
            self.violations.append(f"accounting: offset {len(self.numbers)} of the copy holds nothing")
            self.numbers += [FOREIGN] * (offset - len(self.numbers))
        value = content.value or b""
        if not value.startswith(self.truth.prefix) or offset in self.excused:
            self.numbers.append(FOREIGN)
            return
        number = int(value.removeprefix(self.truth.prefix))
        if number in self.places:
            self.violations.append(f"no duplicate: record {number} lies at {self.places[number]} and {offset}")
        elif number < self._last:
            self.violations.append(f"no reorder: record {number} at {offset} lies after record {self._last}")
        if number not in self.truth.ever_visible:
            self.violations.append(f"no phantom: record {number} at {offset} was never visible at the source")
        elif content != self.truth.contents[number]:
            self.violations.append(f"fidelity: record {number} at {offset} is not as it was written")
        self._last = max(self._last, number)
        self.numbers.append(number)
        self.places.setdefault(number, offset)


def check_acknowledged(
    lane: LaneId, acknowledged: int, copy: Copy, stored: dict[str, bytes], agreed: int, incarnation: int
) -> str:
    """Why what was acknowledged is not durable, empty where it is (rule D).

    `agreed` is up to where the source's history is the one that the lane was opened on.
    """
    copy.read()
    truth = copy.truth
    if truth.incarnations != incarnation:
        return ""
    found = load_lane(lane, stored)
    if found is None:
        return "acknowledgements: nothing is stored of the lane"
    checkpoint, offset_map = found
    end = min(acknowledged, agreed, truth.end)
    expected = checkpoint.destination_offset
    for offset in range(offset_map.start, end):
        held = truth.held[offset]
        if offset < checkpoint.source_position:
            if held.is_visible and held.number not in copy.places and offset >= truth.start:
                return f"acknowledgements: {acknowledged}, but record {held.number} at {offset} is not in the copy"
        elif not held.is_visible:
            if not _grows(truth, offset):
                return f"acknowledgements: {acknowledged}, but the gap at {offset} is not stored ({held.gap})"
        else:
            place = copy.places.get(held.number)
            if place is None:
                return f"acknowledgements: {acknowledged}, but record {held.number} at {offset} is not in the copy"
            if place != expected:
                return f"acknowledgements: {acknowledged}, but that record {held.number} lies at {place} is not stored"
            expected += 1
    return ""


def _grows(truth: Truth, offset: int) -> bool:
    """Whether a gap goes on there: that makes no break, and the source tells it again."""
    held, before = truth.held[offset], truth.held[offset - 1] if offset else None
    return before is not None and not before.is_visible and before.gap is held.gap


def check_end(lane: LaneId, copy: Copy, stored: dict[str, bytes], start: int = 0) -> list[str]:
    """What is wrong after all is healed and the lane has come to the end of its source and been stopped.

    `start` is where the subscription begins.
    """
    copy.read()
    found = load_lane(lane, stored)
    if found is None:
        return ["prefix: nothing is stored of the lane"]
    unmapped = sum(entry.unmapped for entry in load_ledger(lane, stored))
    return _Final(copy, *found, unmapped, start).check()


class _Final:
    def __init__(self, copy: Copy, checkpoint: Checkpoint, offset_map: OffsetMap, unmapped: int, start: int) -> None:
        self._start = start
        self._truth = copy.truth
        self._copy = copy
        self._map = offset_map
        self._checkpoint = checkpoint
        self._unmapped = unmapped
        self._sources: dict[int, int] = {}
        self._wrong: list[str] = []

    def check(self) -> list[str]:
        end = self._truth.readable_end
        if self._checkpoint.source_position != end:
            return [f"liveness: the lane kept {self._checkpoint.source_position}, the source is at {end}"]
        following: int | None = None
        for offset in reversed(range(self._map.start, end)):
            held = self._truth.held[offset]
            place = self._copy.places.get(held.number) if held.is_visible else None
            if held.is_visible:
                place = self._check_visible(offset, held, place, following)
            else:
                self._check_gap(offset, held, following)
            following = following if place is None else place
        if (
            self._map.start > max(self._start, self._truth.start)
            and not self._truth.trims
            and not self._truth.incarnations
        ):
            self._wrong.append(f"prefix: the lane begins at {self._map.start}")
        self._check_back()
        return self._wrong

    def _check_visible(self, offset: int, held: Held, place: int | None, following: int | None) -> int | None:
        """Where its copy lies by the map, None where it has none."""
        answer = self._map.translate(offset)
        if place is not None and answer == Exact(place):
            self._sources[place] = offset
            return place
        if offset < self._truth.start and answer == InGap(GapReason.LOST, following):
            if place is None:
                return None
            if self._unmapped > 0:  # a crashed gateway had copied it, and the source could not show of which it was
                self._unmapped -= 1
                return None
        where = "nowhere" if place is None else f"at {place}"
        kind = "prefix" if place is None else "translation"
        self._wrong.append(f"{kind}: record {held.number} at {offset} is {where}, the map says {answer}")
        return place

    def _check_gap(self, offset: int, held: Held, following: int | None) -> None:
        answer = self._map.translate(offset)
        if answer == InGap(held.gap, following):
            return
        if offset >= self._truth.start or answer != InGap(GapReason.LOST, following):
            self._wrong.append(f"translation: {offset} is {held.gap} before {following}, the map says {answer}")

    def _check_back(self) -> None:
        for place in range(self._map.destination_start, self._map.destination_offset):
            answer = self._map.translate_back(place)
            source = self._sources.get(place)
            if source is None and not isinstance(answer, Foreign):
                self._wrong.append(f"translation: {place} of the copy is nobody's, the map says {answer}")
            elif source is not None and answer != Exact(source):
                self._wrong.append(f"translation: {place} of the copy is of {source}, the map says {answer}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one schedule."""

    seed: int
    trace: int
    steps: int
    violations: tuple[str, ...]
    seen: Counter[str]
    story: tuple[str, ...]
