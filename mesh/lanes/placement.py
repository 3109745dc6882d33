"""A placement: what is to be done with one batch of a segment. Values and the cutting of spans and parts, all pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh.lanes.recovery import Placed
from mesh.spans import Span


class Placement(NamedTuple):
    """What is to be done with one batch of a segment, or with gaps alone."""

    batch: int | None
    """The index of the batch in the segment; None for gaps alone."""
    first_ordinal: int
    base_sequence: int
    records: int
    """Records in the batch."""
    spans: tuple[Span, ...]
    """From where the placement before ended, up to and including the batch; the last has what follows it, too."""
    present: tuple[Placed, ...] = ()
    """Where its first records are in the log already: compare these, do not append them."""

    @property
    def skip(self) -> int:
        """How many records of the batch, from its first, are present. Append the rest, if any, from sequence
        `(base_sequence + skip) mod 2^31`."""
        return sum(part.records for part in self.present)

    @property
    def missing(self) -> int:
        """How many records are to be appended."""
        return self.records - self.skip

    @property
    def end(self) -> int:
        """The source offset after it."""
        return self.spans[-1].end


def clip(part: Placed, first: int, end: int) -> Placed:
    """The records of `part` with ordinals in [first, end); the count is 0 or less where there are none."""
    skip = max(first - part.ordinal, 0)
    count = min(part.ordinal + part.records, end) - part.ordinal - skip
    return Placed(part.ordinal + skip, part.destination_offset + skip, count)


def after(part: Placed, count: int) -> Placed:
    return Placed(part.ordinal + count, part.destination_offset + count, part.records - count)


def cut(spans: tuple[Span, ...], counts: Sequence[int]) -> Iterator[tuple[Span, ...]]:
    """The spans of each batch: gaps before its records belong to it, what is left at the end to the last."""
    if len(counts) == 1:
        yield spans
    elif len(spans) == 1:
        yield from _cut_run(spans[0], counts)
    else:
        yield from _cut_any(spans, counts)


def _cut_run(run: Span, counts: Sequence[int]) -> Iterator[tuple[Span, ...]]:
    source_offset = run.source_offset
    for count in counts:
        yield (Span(source_offset, count),)
        source_offset += count


def _cut_any(spans: tuple[Span, ...], counts: Sequence[int]) -> Iterator[tuple[Span, ...]]:
    rest = list(reversed(spans))
    for batch, count in enumerate(counts):
        part: list[Span] = []
        while count:
            span = rest.pop()
            if span.reason is None and span.length > count:
                rest.append(Span(span.source_offset + count, span.length - count))
                span = Span(span.source_offset, count)
            part.append(span)
            count -= span.length if span.reason is None else 0
        if batch == len(counts) - 1:
            part.extend(reversed(rest))
        yield tuple(part)
