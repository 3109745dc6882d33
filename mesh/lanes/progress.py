"""The importer's bookkeeping for one lane: what comes next, where it went, what may be acknowledged. No IO.

Two cursors run along the lane. *Accepted* is what the link has handed over; *placed* is what the log has answered, and
the offset map ends there. Between them lie the appends under way. For each segment the importer calls `accept`, does
what each placement says, and calls `placed` in the same order. After a broken link or an unknown outcome it asks the
log and calls `reopen`, which returns the accepted cursor to the placed one.

A. A segment is taken only if it begins exactly at the accepted cursor (offset and ordinal) and adds up.
B. Records that the log held already (`Resume`) are recorded in the map at their places, never appended.
C. `acknowledgeable` never passes a record that is not placed or a break that is not stored.

One thread may place and store while another accepts and translates; opening and trimming need the lane at rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh.batch.stamp import Producer, sequence_of
from mesh.ids import LaneId, TopicId
from mesh.lanes.checkpoint import Checkpoint, checkpoint_of, entries
from mesh.lanes.epochs import before, learned
from mesh.lanes.placement import Placement, after, clip, cut
from mesh.lanes.recovery import FreezeReason, LaneFrozen, Placed, Resume
from mesh.offsets.answers import Exact, InGap
from mesh.offsets.breaks import OFFSET_LIMIT
from mesh.offsets.map import OffsetMap
from mesh.segment import Segment, SegmentOutOfLine
from mesh.spans import GapReason, Span, record_count, tiles


class Folded(NamedTuple):
    foreign_count: int
    """Offsets that others wrote before the appended records: 0 where they landed as expected (rule I)."""
    breaks_to_store: int
    """Breaks that are not durable yet: while there are any, `acknowledgeable` waits for them."""


class LaneProgress:
    """One lane from its durable checkpoint on; `LaneProgress.begin` for a lane that has none."""

    def __init__(self, lane: LaneId, checkpoint: Checkpoint, offset_map: OffsetMap) -> None:
        self.lane = lane
        self.map = offset_map
        self.topic_id = checkpoint.topic_id
        self.producer = checkpoint.producer
        self.ordinal = checkpoint.ordinal
        """Of the next record to be placed."""
        self.destination_offset = checkpoint.destination_offset
        """Where that record is expected."""
        self.source_leader_epoch = checkpoint.source_leader_epoch
        """Of the source batch that ends at `position`, -1 unknown: by it the source finds that it was truncated."""
        self.source_epochs = checkpoint.source_epochs or learned((), checkpoint.source_leader_epoch, offset_map.start)
        self.destination_topic_id = checkpoint.destination_topic_id
        self.incarnation = checkpoint.incarnation
        self.losses = checkpoint.losses
        self.subscribed_ms = checkpoint.subscribed_ms
        self._epoch_known_to = offset_map.position if checkpoint.source_leader_epoch >= 0 else offset_map.start
        self._unchanged_breaks: int | None = None
        self.durable: Checkpoint | None = checkpoint
        """The last checkpoint known to be stored."""
        self._log_end = checkpoint.destination_offset
        self._present: tuple[Placed, ...] = ()
        self._return_to_placed()

    @classmethod
    def begin(
        cls,
        lane: LaneId,
        topic_id: TopicId,
        start: int,
        destination_start: int,
        producer: Producer,
        destination_topic_id: str = "",
    ) -> LaneProgress:
        """A lane that has copied nothing: from source offset `start` to a log that ends at `destination_start`.

        Store its first checkpoint before the first append: it names the producer to ask the log for after a crash.
        """
        offset_map = OffsetMap(start, destination_start)
        checkpoint = checkpoint_of(
            offset_map, topic_id, 0, destination_start, producer, destination_topic_id=destination_topic_id
        )
        progress = cls(lane, checkpoint, offset_map)
        progress.durable = None
        return progress

    def __repr__(self) -> str:
        return (
            f"LaneProgress({self.lane}, source {self.map.position}, ordinal {self.ordinal}, "
            f"destination {self.destination_offset}, {self.in_flight} records under way)"
        )

    # Opening

    @property
    def position(self) -> int:
        """The source offset from which the lane is to be opened: everything before it is placed."""
        return self.map.position

    @property
    def in_flight(self) -> int:
        """Records accepted and not placed."""
        return self._accepted_ordinal - self.ordinal

    @property
    def replaying(self) -> int:
        """Records in the log that the source has yet to give us for comparison."""
        return sum(part.records for part in self._present)

    def reopen(self, resume: Resume) -> None:
        """The log was asked at the present checkpoint and answered `resume`: the lane opens at `position`."""
        self._present = resume.placed
        self._log_end = max(resume.log_end, self.destination_offset)
        self._return_to_placed()
        self._pass_foreign_tail()

    def adopt(self, producer: Producer) -> None:
        """Write as another producer from the next record on. Store a checkpoint before the first append.

        Not before all that the log held is recorded: after a crash it would be looked for under the new producer.
        """
        assert not self.in_flight
        assert not self.replaying
        self.producer = producer

    def _return_to_placed(self) -> None:
        self._opened_ordinal = self._accepted_ordinal = self.ordinal
        self._accepted_position = self.map.position

    def _pass_foreign_tail(self) -> None:
        """Once all that was found in the log is recorded, the next record is expected at its end."""
        if not self._present:
            self.destination_offset = max(self.destination_offset, self._log_end)

    # Accepting

    def accept(self, segment: Segment, counts: Sequence[int]) -> list[Placement]:
        """What to do with each batch, given their record counts. Raises SegmentOutOfLine.

        They may be cut otherwise than the segment's own (rule C). It counts its ordinals from 0 where the lane was last
        opened.
        """
        self.check(segment, counts)
        if not segment.spans:
            return []
        placements = list(self._placements(segment, counts))
        self._accepted_position = segment.next_source_offset
        self._accepted_ordinal += sum(counts)
        # What we leave out has an ordinal at the exporter, and none in the lane.
        self._opened_ordinal -= sum(span.length for span in segment.spans if span.reason is GapReason.QUARANTINED)
        return placements

    def check(self, segment: Segment, counts: Sequence[int]) -> None:
        """Raises SegmentOutOfLine where `accept` would."""
        ordinal = self._accepted_ordinal - self._opened_ordinal
        first, end, records = segment.first_source_offset, segment.next_source_offset, record_count(segment.spans)
        if first != self._accepted_position:
            raise self._out_of_line(f"it begins at source offset {first}, expected was {self._accepted_position}")
        if segment.first_ordinal != ordinal:
            raise self._out_of_line(f"it begins at ordinal {segment.first_ordinal}, expected was {ordinal}")
        if end > OFFSET_LIMIT or not tiles(segment.spans, first, end):
            raise self._out_of_line(f"its spans do not cover source offsets {first} to {end} (exclusive)")
        if sum(counts) != records or (counts and min(counts) < 1):
            raise self._out_of_line(
                f"its {len(segment.batches)} batches hold {sum(counts)} records, its spans speak of {records}"
            )

    def _out_of_line(self, why: str) -> SegmentOutOfLine:
        return SegmentOutOfLine(str(self.lane), why)

    def _placements(self, segment: Segment, counts: Sequence[int]) -> Iterator[Placement]:
        ordinal = self._accepted_ordinal
        if not counts:
            yield Placement(None, ordinal, sequence_of(ordinal), 0, segment.spans)
        for batch, (count, spans) in enumerate(zip(counts, cut(segment.spans, counts), strict=True)):
            present = self._present_in(ordinal, count) if self._present else ()
            yield Placement(batch, ordinal, sequence_of(ordinal), count, spans, present)
            ordinal += count

    def _present_in(self, ordinal: int, count: int) -> tuple[Placed, ...]:
        """The parts of the records [ordinal, ordinal + count) that the log held when it was asked."""
        parts = (clip(part, ordinal, ordinal + count) for part in self._present)
        return tuple(part for part in parts if part.records > 0)

    # Placing

    def placed(self, placement: Placement, base_offset: int | None = None, source_epoch: int = -1) -> Folded:
        """Record that a placement is done; `base_offset` is what the append of its missing records answered.

        `source_epoch` is the leader epoch of the source batch that ends where the placement does, -1 unknown.
        To be called once for each placement, in order, when its records are durable. Raises LaneFrozen where the
        offset lies before the expected one: the log was truncated.
        """
        assert (base_offset is None) == (placement.missing == 0), placement
        assert placement.first_ordinal == self.ordinal, (placement, self)
        expected = self.expected(placement)
        parts = placement.present
        if base_offset is not None:
            if base_offset < expected:
                raise self._went_back(placement, base_offset, expected)
            parts = (*parts, Placed(self.ordinal + placement.skip, base_offset, placement.missing))
        self._fold(placement.spans, parts)
        self._moved(placement, parts)
        self._learn(max(source_epoch, -1))
        foreign = 0 if base_offset is None else base_offset - expected
        return Folded(foreign, self.breaks_to_store)

    def _learn(self, epoch: int) -> None:
        self.source_leader_epoch = epoch
        if epoch >= 0:
            # What lies between may be of the new epoch already, where nothing was known of it.
            self.source_epochs = learned(self.source_epochs, epoch, self._epoch_known_to)
            self._epoch_known_to = self.map.position

    def expected(self, placement: Placement) -> int:
        """Where the missing records are expected: after all that the log held, where they follow on that."""
        if not placement.present:
            return self.destination_offset
        last = placement.present[-1]
        return max(last.destination_offset + last.records, self._log_end)

    def _went_back(self, placement: Placement, base_offset: int, expected: int) -> LaneFrozen:
        ordinal = placement.first_ordinal + placement.skip
        return LaneFrozen(
            str(self.lane),
            FreezeReason.TRUNCATED,
            f"the record of ordinal {ordinal} was written at {base_offset}, expected was {expected}",
        )

    def _fold(self, spans: tuple[Span, ...], parts: tuple[Placed, ...]) -> None:
        if len(spans) == 1 and len(parts) == 1:
            self.map.add_records(spans[0].source_offset, parts[0].destination_offset, parts[0].records)
            return
        left = iter(parts)
        part = Placed(0, 0, 0)
        for source_offset, length, reason in spans:
            if reason is not None:
                self.map.add_gap(source_offset, length, reason)
                continue
            end = source_offset + length
            while source_offset < end:
                part = part if part.records else next(left)
                count = min(part.records, end - source_offset)
                self.map.add_records(source_offset, part.destination_offset, count)
                source_offset += count
                part = after(part, count)

    def _moved(self, placement: Placement, parts: tuple[Placed, ...]) -> None:
        self.ordinal += placement.records
        if parts:
            self.destination_offset = parts[-1].destination_offset + parts[-1].records
        if self._present and placement.records:
            beyond = (clip(part, self.ordinal, part.ordinal + part.records) for part in self._present)
            self._present = tuple(part for part in beyond if part.records > 0)
            self._pass_foreign_tail()

    # Losing; the lane is at rest, `reopen` has just been called

    def pass_over(self, source_offset: int) -> None:
        """What lies before the offset is lost: a gap. The lane opens at the offset."""
        assert not self.in_flight
        assert not self.replaying
        self.map.add_gap(self.position, source_offset - self.position, GapReason.LOST)
        self._learn(-1)
        self._return_to_placed()

    def cut_back(self, source_offset: int, *, knows_epochs: bool) -> None:
        """What was copied from the offset on, the log may hold more of it than the map, is of a lost history.

        The lane opens at the offset, and goes on behind all that is there. A source that knows none of our leader
        epochs would find them strange for ever: then they are forgotten.
        """
        self.disown()
        self.map.cut_back(source_offset)
        self._unchanged_breaks = (
            self.map.end_break if self._unchanged_breaks is None else min(self.map.end_break, self._unchanged_breaks)
        )
        self.source_epochs = before(self.source_epochs, source_offset) if knows_epochs else ()
        self.source_leader_epoch = self.source_epochs[-1].epoch if self.source_epochs else -1
        self._epoch_known_to = source_offset
        self._return_to_placed()

    @property
    def present(self) -> tuple[Placed, ...]:
        """Where the records lie that the source has yet to give us for comparison."""
        return self._present

    def disown(self) -> None:
        """The source will not give us those: they stay, and the lane goes on behind them."""
        assert not self.in_flight
        self.ordinal += self.replaying
        self._present = ()
        self._pass_foreign_tail()
        self._return_to_placed()

    @property
    def has_only_begun(self) -> bool:
        """Nothing was copied, passed over or lost yet."""
        return not self.losses and not self.ordinal and not self.replaying and self.position == self.map.start

    @property
    def own_end(self) -> int:
        """The end of the lane's last copy in the log, whether the map holds it yet or not."""
        last = self._present[-1] if self._present else None
        return self.map.destination_offset if last is None else last.destination_offset + last.records

    def place_of(self, source_offset: int) -> int:
        """The destination offset of the first copy at or after a source offset, or where it would be."""
        answer = self.map.translate(max(source_offset, self.map.start))
        found = (
            answer.offset if isinstance(answer, Exact) else answer.next_offset if isinstance(answer, InGap) else None
        )
        return self.map.destination_offset if found is None else found

    # Storing

    @property
    def breaks_to_store(self) -> int:
        return self.map.end_break - self._stored_breaks

    @property
    def _stored_breaks(self) -> int:
        return self.durable.stored_breaks if self.durable else 0

    @property
    def acknowledgeable(self) -> int:
        """The source offset before which every record is in the log and every break is stored (rule D)."""
        stored = self._stored_breaks
        return self.map.break_offset(stored) if stored < self.map.end_break else self.map.position

    def checkpoint(self) -> Checkpoint:
        """The lane as placed up to now; recovery within a running importer is decided on it, too."""
        return checkpoint_of(
            self.map,
            self.topic_id,
            self.ordinal,
            self.destination_offset,
            self.producer,
            self.source_leader_epoch,
            self.source_epochs,
            self.destination_topic_id,
            self.incarnation,
            self.losses,
            self.subscribed_ms,
        )

    def to_store(self) -> tuple[Checkpoint, dict[str, bytes | None]]:
        """A checkpoint and the state entries that make it durable; afterwards call `stored` with it."""
        checkpoint = self.checkpoint()
        return checkpoint, entries(self.lane, checkpoint, self.map, self.durable, self._unchanged_breaks)

    def stored(self, checkpoint: Checkpoint) -> None:
        """The entries that went with `checkpoint` are durable; puts are made in the order of `to_store`."""
        self.durable, self._unchanged_breaks = checkpoint, None

    def trim(self, before_source_offset: int) -> None:
        """Forget the map before the offset, as far as it is acknowledgeable; the next put removes its pages."""
        self.map.trim(min(before_source_offset, self.acknowledgeable))
