"""Records whose timestamps the destination refuses: which they are, and what becomes of them. Pure.

A topic takes timestamps up to a distance from its broker's clock, so that what it takes changes with time: the one
thing about a lane that is not a function of position (rule C). Hence:

A. Nothing is judged twice: what the log holds already (`present`) is left as it is.
B. A record that is left out is a gap of its own, in a piece without records: the gap is durable before anything that
   follows it is appended, so that whoever goes on finds it decided. Ordinals count what is copied.
C. A record without its timestamp keeps its place and all else, and every log takes it: a copy is one of two forms.
D. A broker that compresses a batch anew takes no timestamp below -1; it answers as it does where it does not know what
   became of the batch, so that such a record is to be found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from mesh.batch.encode import encode
from mesh.batch.header import HEADER_BYTES, LENGTH_END, MAGIC_AT, BatchHeader, Codec
from mesh.batch.limits import Limits
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Buffer
from mesh.lanes.placement import cut
from mesh.segment import Segment
from mesh.shares import OnTimestamp
from mesh.spans import GapReason, Span, merge, record_count

NO_TIMESTAMP = -1
"""What brokers take at any time."""
NO_LIMIT = (1 << 63) - 1
_KEPT_IN = {"producer": "", "uncompressed": str(Codec.NONE)}
"""Kafka's values of `compression.type` that are no names of codecs."""


class Window(NamedTuple):
    """The timestamps that are taken now, both ends included."""

    earliest_ms: int
    latest_ms: int

    def refuses(self, timestamp_ms: int) -> bool:
        return timestamp_ms != NO_TIMESTAMP and not self.earliest_ms <= timestamp_ms <= self.latest_ms


@dataclass(frozen=True, slots=True)
class TimestampLimits:
    """How far from the broker's clock a topic takes timestamps."""

    before_ms: int = NO_LIMIT
    after_ms: int = NO_LIMIT
    codec: str = ""
    """The one codec that the topic keeps batches in, by its name; empty where they stay as they come."""

    @classmethod
    def of(cls, in_force: Mapping[str, str]) -> TimestampLimits:
        """From a topic's settings; brokers before 3.6 have one limit for both sides."""
        both = int(in_force.get("message.timestamp.difference.max.ms", NO_LIMIT))
        before = int(in_force.get("message.timestamp.before.max.ms", NO_LIMIT))
        after = int(in_force.get("message.timestamp.after.max.ms", NO_LIMIT))
        return cls(
            min(before, both), min(after, both), _KEPT_IN.get(kind := in_force.get("compression.type", ""), kind)
        )

    def rebuilds(self, codec: int) -> bool:
        """Whether a broker compresses a batch of that codec anew (D)."""
        return bool(self.codec) and self.codec != str(Codec(codec))

    def of_batch(self, window: Window, codec: int) -> Window:
        """What of `window` is taken in a batch of that codec."""
        return window._replace(earliest_ms=max(window.earliest_ms, NO_TIMESTAMP)) if self.rebuilds(codec) else window

    def window(self, now_ms: int, margin_ms: int = 0) -> Window:
        return Window(now_ms - self.before_ms + margin_ms, now_ms + self.after_ms - margin_ms)

    def __str__(self) -> str:
        return " and ".join(
            f"message.timestamp.{side}.max.ms={limit}"
            for side, limit in (("before", self.before_ms), ("after", self.after_ms))
            if limit < NO_LIMIT
        )


@dataclass(frozen=True, slots=True)
class TimestampRule:
    """What a run of a lane does about timestamps."""

    policy: OnTimestamp = OnTimestamp.STOP
    limits: TimestampLimits = TimestampLimits()
    margin_ms: int = 0
    """By how much less is taken than the limits say: the two clocks differ."""

    def window(self, now_ms: int) -> Window:
        return self.limits.window(now_ms, self.margin_ms)

    @property
    def may_change_records(self) -> bool:
        """Whether records are to be looked at before they are appended."""
        return self.policy is not OnTimestamp.STOP and self.limits != TimestampLimits()

    @property
    def trusts_headers(self) -> bool:
        """Whether the largest timestamp that a header states says enough: unless the log has found otherwise."""
        return self.limits.before_ms == NO_LIMIT and not self.limits.codec and not self.margin_ms


def pieces(
    segment: Segment, headers: Sequence[BatchHeader], rule: TimestampRule, now_ms: int, present: int, limits: Limits
) -> list[Segment]:
    """`segment` in pieces to be taken one after the other, none of which holds a record that is refused.

    Its first `present` records are in the log already. Where nothing is refused it is the only piece, unchanged.
    """
    groups = list(_groups(segment, headers, rule, now_ms, present, limits))
    if all(group.is_untouched for group in groups):
        return [segment]
    spans = cut(segment.spans, [group.records for group in groups])
    return list(_assembled(segment, zip(groups, spans, strict=True)))


def first_refused(header: BatchHeader, batch: Buffer, window: Window, limits: Limits) -> tuple[int, int]:
    """Index and timestamp of the first record that is refused, or, where none is by our clock, of the one furthest out.

    `batch` has at least one record.
    """
    stamps = [record.timestamp_ms for record in records_of(header, memoryview(batch)[HEADER_BYTES:], limits)]
    found = next((index for index, stamp in enumerate(stamps) if window.refuses(stamp)), None)
    if found is None:
        out = [max(window.earliest_ms - stamp, stamp - window.latest_ms) for stamp in stamps]
        found = max(range(len(stamps)), key=lambda index: (stamps[index] != NO_TIMESTAMP, out[index]))
    return found, stamps[found]


def never_taken(header: BatchHeader, batch: Buffer, limits: TimestampLimits, parsing: Limits) -> bool:
    """Whether the batch can be in no log of these limits, whatever was answered to its append (D)."""
    if not limits.rebuilds(header.codec):
        return False
    records = records_of(header, memoryview(batch)[HEADER_BYTES:], parsing)
    return any(record.timestamp_ms < NO_TIMESTAMP for record in records)


def source_offset_of(spans: Iterable[Span], index: int) -> int:
    """The source offset of the record of that index in `spans`."""
    for span in spans:
        if span.reason is None:
            if index < span.length:
                return span.source_offset + index
            index -= span.length
    raise AssertionError("the spans hold fewer records")


class _Group(NamedTuple):
    """Neighbouring records of one batch that have one fate; without a batch they are left out."""

    records: int
    batch: Buffer | None
    is_untouched: bool


def _groups(
    segment: Segment, headers: Sequence[BatchHeader], rule: TimestampRule, now_ms: int, present: int, limits: Limits
) -> Iterator[_Group]:
    window = rule.window(now_ms)
    for header, batch in zip(headers, segment.batches, strict=True):
        if rule.trusts_headers and header.max_timestamp_ms <= window.latest_ms:
            yield _Group(header.records_count, batch, is_untouched=True)
            present -= header.records_count
            continue
        records = list(records_of(header, memoryview(batch)[HEADER_BYTES:], limits))
        of_batch = rule.limits.of_batch(window, header.codec)
        refused = [index >= present and of_batch.refuses(record.timestamp_ms) for index, record in enumerate(records)]
        present -= len(records)
        if not any(refused):
            yield _Group(len(records), batch, is_untouched=True)
        elif rule.policy is OnTimestamp.OVERRIDE:
            bare = [
                record._replace(timestamp_ms=NO_TIMESTAMP) if bad else record
                for record, bad in zip(records, refused, strict=True)
            ]
            yield _Group(len(bare), _again(header, bare), is_untouched=False)
        else:
            for is_refused, group in groupby(zip(records, refused, strict=True), key=lambda pair: pair[1]):
                kept = [record for record, _ in group]
                yield _Group(len(kept), None if is_refused else _again(header, kept), is_untouched=False)


def _again(header: BatchHeader, records: list[Record]) -> bytes:
    """The records as a batch that still says of which leader epoch it was."""
    batch = encode(records, codec=header.codec)
    return batch[:LENGTH_END] + header.leader_epoch.to_bytes(4, "big", signed=True) + batch[MAGIC_AT:]


def _assembled(segment: Segment, groups: Iterable[tuple[_Group, tuple[Span, ...]]]) -> Iterator[Segment]:
    ordinal = segment.first_ordinal
    for is_left_out, neighbours in groupby(groups, key=lambda pair: pair[0].batch is None):
        of_piece = list(neighbours)
        spans = merge(span for _, spans in of_piece for span in spans)
        count = record_count(spans)
        if is_left_out:
            spans = merge(span._replace(reason=span.reason or GapReason.QUARANTINED) for span in spans)
        batches = tuple(group.batch for group, _ in of_piece if group.batch is not None)
        yield replace(
            segment,
            first_source_offset=spans[0].source_offset,
            next_source_offset=spans[-1].end,
            first_ordinal=ordinal,
            spans=spans,
            batches=batches,
            leader_epoch=segment.leader_epoch if spans[-1].end == segment.next_source_offset else -1,
        )
        ordinal += count
