"""A lane over a simulated log, with crashes, foreign writes and a second writer: the copy and the map stay exact."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.batch.stamp import SEQUENCES, Producer, sequence_of
from mesh.ids import LaneId, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, load_lane
from mesh.lanes.placement import Placement
from mesh.lanes.progress import LaneProgress
from mesh.lanes.recovery import Resume, decide_resume
from mesh.log import LogRange, OwnBatch, Witnesses
from mesh.offsets.answers import Exact, InGap
from mesh.offsets.map import OffsetMap
from mesh.segment import Segment
from mesh.spans import SENT_REASONS, Span, merge, record_count

LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
FOREIGN = None


class Log:
    """A destination partition that compares before it appends, and keeps which ordinal lies at each offset."""

    def __init__(self, first_ordinal: int, foreign: int) -> None:
        self.next_ordinal = self.first_ordinal = first_ordinal
        self.offsets: list[int | None] = [FOREIGN] * foreign
        self.own: list[OwnBatch] = []

    def append(self, base_sequence: int, records: int) -> int | None:
        """The base offset, None where the sequence is refused."""
        if base_sequence != sequence_of(self.next_ordinal):
            return None
        base_offset = len(self.offsets)
        self.own.append(OwnBatch(base_offset, base_sequence, records))
        self.offsets += range(self.next_ordinal, self.next_ordinal + records)
        self.next_ordinal += records
        return base_offset

    def witness(self, offset: int) -> Witnesses:
        end = len(self.offsets)
        own = tuple(batch.beyond(offset) for batch in self.own if batch.base_offset + batch.records > offset)
        last = sequence_of(self.next_ordinal - 1) if self.own else None
        return Witnesses(LogRange(0, end, end), last, own, self.offsets[offset:].count(FOREIGN))


class World:
    def __init__(self, data: st.DataObject) -> None:
        self.draw: Callable[..., int] = lambda least, most: data.draw(st.integers(least, most))
        self.kinds = data.draw(st.lists(st.sampled_from([None, None, None, *SENT_REASONS]), min_size=1, max_size=60))
        self.first_ordinal = data.draw(st.sampled_from([0, SEQUENCES - 5]))
        self.log = Log(self.first_ordinal, self.draw(0, 3))
        self.state: dict[str, bytes] = {}
        self.acknowledged = 0
        offset_map = OffsetMap(0, len(self.log.offsets))
        self.progress = LaneProgress.begin(LANE, TopicId("0" * 32), 0, len(self.log.offsets), Producer(7, 0))
        if self.first_ordinal:
            checkpoint = checkpoint_of(
                offset_map, self.progress.topic_id, self.first_ordinal, len(self.log.offsets), Producer(7, 0)
            )
            self.progress = LaneProgress(LANE, checkpoint, offset_map)
            self.progress.durable = None
        self.store()
        self.open()

    def open(self) -> None:
        self.opened_ordinal = self.sent_ordinal = self.progress.ordinal
        self.sent = self.progress.position

    def store(self) -> None:
        checkpoint, entries = self.progress.to_store()
        for key, value in entries.items():
            if value is None:
                del self.state[key]
            else:
                self.state[key] = value
        self.progress.stored(checkpoint)

    def segment(self) -> tuple[Segment, list[int]]:
        end = min(self.sent + self.draw(1, 12), len(self.kinds))
        spans = merge(Span(offset, 1, self.kinds[offset]) for offset in range(self.sent, end))
        counts, left = [], record_count(spans)
        while left:
            counts.append(self.draw(1, left))
            left -= counts[-1]
        made = Segment(self.sent, end, self.sent_ordinal - self.opened_ordinal, spans, (b"",) * len(counts))
        self.sent, self.sent_ordinal = end, self.sent_ordinal + sum(counts)
        return made, counts

    def place(self, placement: Placement) -> bool:
        """Do what the placement says; False where the lane has to ask the log again."""
        for offset_of in placement.present:
            for number in range(offset_of.records):
                assert self.log.offsets[offset_of.destination_offset + number] == offset_of.ordinal + number
        base_offset = None
        if placement.missing:
            base_offset = self.log.append(sequence_of(placement.base_sequence + placement.skip), placement.missing)
            if base_offset is None or self.draw(0, 9) == 0:
                return False
        before = self.progress.breaks_to_store
        folded = self.progress.placed(placement, base_offset)
        assert folded.breaks_to_store >= before
        return True

    def transfer(self) -> None:
        segment, counts = self.segment()
        for placement in self.progress.accept(segment, counts):
            if not self.place(placement):
                return self.crash() if self.draw(0, 1) else self.reopen()
        return None

    def reopen(self) -> None:
        checkpoint = self.progress.checkpoint()
        resume = decide_resume(LANE, checkpoint, self.log.witness(checkpoint.destination_offset))
        assert isinstance(resume, Resume), str(resume)
        self.progress.reopen(resume)
        assert self.progress.ordinal + resume.ahead == self.log.next_ordinal
        self.open()

    def crash(self) -> None:
        loaded = load_lane(LANE, self.state)
        assert loaded is not None
        known = self.progress.map
        self.progress = LaneProgress(LANE, *loaded)
        # Rule D: what was acknowledged is in the log, and every break before it is in the state.
        assert all(
            known.break_offset(index) >= self.acknowledged
            for index in range(max(loaded[1].end_break, known.first_break), known.end_break)
        )
        records = self.kinds[: self.acknowledged].count(None)
        assert self.log.next_ordinal >= self.first_ordinal + records
        self.reopen()

    def second_writer(self) -> None:
        """Another gateway appends the right next records: content is a function of position."""
        total = self.first_ordinal + self.kinds.count(None)
        if self.log.next_ordinal < total:
            records = self.draw(1, total - self.log.next_ordinal)
            self.log.append(sequence_of(self.log.next_ordinal), records)

    def foreign_write(self) -> None:
        self.log.offsets += [FOREIGN] * self.draw(1, 3)

    def trim(self) -> None:
        self.progress.trim(self.draw(0, len(self.kinds)))

    def step(self) -> None:
        actions = [self.transfer] * 4 + [self.store] * 2
        actions += [self.crash, self.reopen, self.foreign_write, self.second_writer, self.trim]
        actions[self.draw(0, len(actions) - 1)]()
        assert self.progress.acknowledgeable >= self.progress.map.start
        self.acknowledged = max(self.acknowledged, self.progress.acknowledgeable)

    def finish(self) -> None:
        for _ in range(1000):
            if self.progress.position == len(self.kinds):
                return
            self.transfer()
        raise AssertionError("the lane does not come to its end")

    def check(self) -> None:
        copied = [ordinal for ordinal in self.log.offsets if ordinal is not None]
        ordinal = self.first_ordinal
        assert copied == list(range(ordinal, ordinal + self.kinds.count(None)))
        where = {ordinal: offset for offset, ordinal in enumerate(self.log.offsets) if ordinal is not None}
        offset_map = self.progress.map
        for source_offset, kind in enumerate(self.kinds):
            if source_offset >= offset_map.start:
                answer = offset_map.translate(source_offset)
                assert answer == (Exact(where[ordinal]) if kind is None else InGap(kind, where.get(ordinal)))
            ordinal += kind is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_after_any_crashes_the_log_holds_each_record_once_and_the_map_is_the_truth(data: st.DataObject) -> None:
    world = World(data)
    for _ in range(world.draw(0, 25)):
        if world.progress.position < len(world.kinds):
            world.step()
    world.finish()
    world.check()
    world.store()
    world.crash()
    world.check()
