"""Frames that were damaged below TLS: replayed, left out, swapped, with bits flipped. Nothing wrong is appended.

    python -m tests.lab.wire.frames --frames 1000000 --seed 1

A stream of honest frames goes over a link; before each of them a clone of the receiver is given damaged ones instead.
Either one is refused (the link, or the lane, ends), or whatever would be appended of it is, record for record, what the
honest stream has at that place. What is flipped, and where, is drawn from the seed.

Frames have no checksum of their own: batches have one, and positions, spans and frame numbers must fit together. What
stands alone (times, the state of a log, the reason of a gap) may change unseen here; TLS is what keeps it. So is a
lane's number where another lane stands at the very same offset, which these lanes never do.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from gateway.fast_records import check_records_fast
from mesh.batch.encode import encode
from mesh.batch.header import CRC_START, BatchHeader, Codec
from mesh.batch.limits import DEFAULT_LIMITS, Limits
from mesh.batch.records import Record
from mesh.batch.stamp import Producer
from mesh.batch.validate import RecordChecker, validate
from mesh.errors import MeshError
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.progress import LaneProgress
from mesh.link.frames import Data, Heartbeat, LaneOpen, LaneOpened, LaneStatus
from mesh.link.machine import Link
from mesh.segment import Segment
from mesh.shares import StartAt
from mesh.spans import GapReason, Span
from mesh.testing.links import linked_pair
from mesh.wire.codec import decode_frame, encode_frame

HIDDEN = "records turned into a gap"
STARTS = (0, 1_000_000)
ROOM = 1 << 40
FLIPPED, FLIPPED_MORE = "one bit flipped", "two or three bits flipped"
KINDS = ("replayed", "left out", "swapped", FLIPPED, FLIPPED, FLIPPED, FLIPPED_MORE)
"""Most have a bit flipped: there are many ways to."""
Check = Callable[[memoryview, Limits, RecordChecker], BatchHeader]
Placed = dict[int, bytes]
"""Batches by the source offset of their first record, from their attributes on: what CRCs cover, and is appended."""
Truth = dict[tuple[int, int], Placed]
"""Of each segment, by lane and first offset."""


@dataclass
class Outcome:
    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    """Were taken, and would append what is right."""
    hidden: int = 0
    """Were taken, and would append what is right but for records that became a gap: two flips must agree for that."""
    bad: list[str] = field(default_factory=list)

    def line(self, seed: int, seconds: float) -> str:
        tried = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.tried.items()))
        codes = ", ".join(f"{code} {count:,}" for code, count in self.by_code.most_common())
        return (
            f"{sum(self.tried.values()):,} damaged frames ({tried}), seed {seed}, {seconds:.0f} s\n"
            f"refused: {sum(self.refused.values()):,} ({codes})\n"
            f"taken, and all that they would append is right: {self.unchanged:,}\n"
            f"taken with records turned into a gap, by bits that agree: {self.hidden:,}\n"
            f"frames: {len(self.bad)} bad appends in {sum(self.tried.values()):,}"
        )


class Receiver:
    """The importing side of a link with its lanes, up to where a batch would be appended."""

    def __init__(self, link: Link, lanes: dict[int, LaneProgress], check: Check = validate) -> None:
        self.link = link
        self.lanes = lanes
        self.check = check

    def clone(self) -> Receiver:
        """As it is now: what a clone is given changes nothing of the original. `LaneProgress.check` changes nothing."""
        link = copy.copy(self.link)
        link.lanes = {number: copy.copy(lane) for number, lane in link.lanes.items()}
        link.outgoing, link._asked, link._answering = [], set(link._asked), set(link._answering)
        return Receiver(link, self.lanes, self.check)

    def judge(self, frame: bytes, truth: Truth) -> str:
        """What would be wrong; empty: nothing. Raises the MeshError that refuses it."""
        sequence, decoded = decode_frame(frame)
        wrong = ""
        if not self.link.receive(sequence, decoded, 0.0) or not isinstance(decoded, Data):
            return wrong
        for number, segment in decoded.segments:
            views = [memoryview(each) for each in segment.batches]
            counts = [self.check(each, DEFAULT_LIMITS, check_records_fast).records_count for each in views]
            self.lanes[number].check(segment, counts)
            wrong = wrong or _wrong(_placed(segment, counts), truth.get((number, segment.first_source_offset), {}))
        return wrong

    def take(self, frame: bytes) -> None:
        """An honest one."""
        sequence, decoded = decode_frame(frame)
        self.link.receive(sequence, decoded, 0.0)
        self.link.outgoing = []
        if isinstance(decoded, Data):
            for number, segment in decoded.segments:
                counts = [validate(memoryview(each), DEFAULT_LIMITS).records_count for each in segment.batches]
                list(self.lanes[number].accept(segment, counts))


def _placed(segment: Segment, counts: Sequence[int]) -> Placed:
    offsets = [
        offset for span in segment.spans if span.reason is None for offset in range(span.source_offset, span.end)
    ]
    firsts = [offsets[sum(counts[:at])] for at in range(len(counts))]
    return {first: bytes(each[CRC_START:]) for first, each in zip(firsts, segment.batches, strict=True)}


def _wrong(placed: Placed, right: Placed) -> str:
    if placed == right:
        return ""
    return HIDDEN if placed.items() <= right.items() else "other records, or elsewhere"


@dataclass
class Stream:
    """Honest frames of an exporter, and what is right at each place."""

    chance: Random
    first: int = 0
    """The number of its first frame."""
    truth: Truth = field(default_factory=dict)
    frames: list[bytes] = field(default_factory=list)

    def fill(self, exporter: Link, count: int) -> None:
        for _ in range(count):
            self.frames.append(encode_frame(self._next(), self._frame(exporter)))

    def _next(self) -> int:
        return self.first + len(self.frames)

    def _frame(self, exporter: Link) -> Data | LaneStatus | Heartbeat:
        kind = self.chance.randrange(10)
        number = self.chance.choice(list(exporter.lanes))
        if kind == 0:
            return Heartbeat(self.chance.randrange(1 << 40))
        if kind == 1:
            return LaneStatus(number, 0, 5_000_000, 5_000_000)
        lanes = self.chance.sample(list(exporter.lanes), self.chance.randrange(1, len(exporter.lanes) + 1))
        return Data(tuple((each, self._segment(exporter, each)) for each in lanes))

    def _segment(self, exporter: Link, number: int) -> Segment:
        lane = exporter.lanes[number]
        spans, batches, at = [], [], lane.position
        for _ in range(self.chance.randrange(1, 4)):
            count = self.chance.randrange(1, 6)
            if self.chance.random() < 0.3:
                spans.append(Span(at, count, self.chance.choice([GapReason.MARKER, GapReason.ABORTED])))
            else:
                spans.append(Span(at, count))
                batches.append(self._batch(count))
            at += count
        segment = Segment(lane.position, at, lane.ordinal, tuple(spans), tuple(batches), 1_700_000_000_000, 3)
        counts = [span.length for span in spans if span.reason is None]
        self.truth[number, lane.position] = _placed(segment, counts)
        exporter.send_segment(lane, segment)
        return segment

    def _batch(self, records: int) -> bytes:
        values = [self.chance.randbytes(self.chance.randrange(40)) for _ in range(records)]
        made = [Record(at, 1_700_000_000_000 + at, b"k", value) for at, value in enumerate(values)]
        return encode(made, codec=self.chance.choice([Codec.NONE, Codec.LZ4]))


def opened(check: Check = validate) -> tuple[Link, Receiver]:
    """An exporter and a receiver with open lanes that stand at different offsets."""
    pair = linked_pair()
    exporter, importer = pair.acceptor, pair.dialler
    lanes = {}
    for start in STARTS:
        lane = importer.open_lane(LaneOpen(importer.next_lane(), "s", "t", 0, StartAt(), credit_bytes=ROOM))
        pair.deliver_all()
        exporter.opened(exporter.lanes[lane.number], LaneOpened(lane.number, "0" * 32, start, 0, 5_000_000, 5_000_000))
        pair.deliver_all()
        own = LaneId(SubscriptionName("s"), TopicName("t"), lane.number)
        lanes[lane.number] = LaneProgress.begin(own, TopicId("0" * 32), start, 0, Producer(1, 0))
    return exporter, Receiver(importer, lanes, check)


def damaged(kind: str, frames: list[bytes], at: int, chance: Random) -> bytes:
    """What arrives instead of the frame at `at`."""
    if kind == "replayed":
        return frames[chance.randrange(max(0, at - 20), at)]
    if kind == "left out":
        return frames[at + 1]
    if kind == "swapped":
        return frames[min(at + chance.randrange(1, 5), len(frames) - 1)]
    changed = bytearray(frames[at])
    for _ in range(1 if kind == FLIPPED else chance.choice([2, 3])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def attack(count: int, seed: int, each: int = 50, check: Check = validate) -> Outcome:
    """`each` damaged frames in the place of every honest one, until there were `count`."""
    chance, outcome = Random(seed), Outcome()
    exporter, receiver = opened(check)
    stream = Stream(chance, receiver.link._expected_sequence)
    stream.fill(exporter, -(-count // each) + 5)
    for at in range(len(stream.frames) - 5):
        for _ in range(each):
            kind = chance.choice(KINDS if at else KINDS[1:])  # nothing came before the first
            _try(receiver.clone(), kind, damaged(kind, stream.frames, at, chance), stream, at, outcome)
        receiver.take(stream.frames[at])
    return outcome


def _try(clone: Receiver, kind: str, frame: bytes, stream: Stream, at: int, outcome: Outcome) -> None:
    outcome.tried[kind] += 1
    try:
        wrong = clone.judge(frame, stream.truth)
    except MeshError as error:
        outcome.refused[kind] += 1
        outcome.by_code[error.code] += 1
        return
    outcome.unchanged += not wrong
    if wrong == HIDDEN and kind == FLIPPED_MORE:
        outcome.hidden += 1
    elif wrong or (kind not in {FLIPPED, FLIPPED_MORE} and frame != stream.frames[at]):
        outcome.bad.append(f"{kind} at frame {at}: {wrong or 'taken out of its order'}: {frame.hex()}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.wire.frames")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began_s = time.monotonic()
    outcome = attack(options.frames, options.seed)
    for each in outcome.bad[:10]:
        print(each)
    print(outcome.line(options.seed, time.monotonic() - began_s))
    return 1 if outcome.bad else 0


if __name__ == "__main__":
    sys.exit(main())
