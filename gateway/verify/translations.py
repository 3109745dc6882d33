"""Checks the offset map of a lane against the two logs: one answer per source offset, and back.

What a copy's place must be is known from the logs alone (which record is where); the map is only asked. A stretch with
damage has no certain expectation: there an answer must lie between the copies around it (a reader may see again,
never skip). Copies are told in order; everything between two copies is checked with the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.offsets.answers import Answer, Exact, Foreign, InGap

GAP_LIMIT = 1_000_000
"""Offsets checked at either end of one gap: compaction may leave gaps of billions. What is left out is counted."""

Report = Callable[[int | None, int | None, str], None]


class TranslationCheck:
    """`report` is told (source offset, destination offset, what is wrong) for each wrong answer."""

    def __init__(
        self,
        translate: Callable[[int], Answer],
        translate_back: Callable[[int], Answer],
        start: int,
        destination_start: int,
        report: Report,
    ) -> None:
        self._translate, self._translate_back, self._report = translate, translate_back, report
        self._source, self._destination = start, destination_start
        self.checked = 0
        self.left_out = 0

    def copies(
        self, sources: Sequence[int], destinations: Sequence[int], answers: Sequence[Answer], backs: Sequence[Answer]
    ) -> None:
        """Records and their copies, in order, nothing damaged between; with the map's answers for them."""
        for source, destination, answer, back in zip(sources, destinations, answers, backs, strict=True):
            if source != self._source or destination != self._destination:
                self._between(source, destination, damaged=False)
            if answer.__class__ is not Exact or answer[0] != destination:
                self._wrong(source, destination, answer)
            elif back.__class__ is not Exact or back[0] != source:
                self._report(source, destination, f"destination offset {destination} is translated back to {back}")
            self._source, self._destination = source + 1, destination + 1
        self.checked += len(sources)

    def damage(self, next_source: int, next_destination: int) -> None:
        """Up to these offsets there are records without their copy, or copies without their record."""
        self._between(next_source, next_destination, damaged=True)

    def finish(self, position: int, destination_end: int) -> None:
        """No copy follows before `position` and `destination_end`."""
        for source in self._sources(position):
            answer = self._translate(source)
            # The map may know of copies made since the comparison began.
            after = answer.next_offset if isinstance(answer, InGap) else -1
            if after is not None and after < destination_end:
                self._wrong(source, None, answer)
        self._source = position

    def _between(self, source: int, destination: int, *, damaged: bool) -> None:
        low = self._destination
        for offset in self._sources(source):
            answer = self._translate(offset)
            if not (_within(answer, low, max(low, destination)) if damaged else _is_gap_to(answer, destination)):
                self._wrong(offset, destination, answer)
        if not damaged:
            self._holes(source, destination)
        self._source, self._destination = max(self._source, source), max(self._destination, destination)

    def _holes(self, source: int, destination: int) -> None:
        """Destination offsets that hold no record of the lane, foreign records and markers, before a copy."""
        for offset in _both_ends(self._destination, destination):
            back = self._translate_back(offset)
            if back.__class__ is not Foreign or back[0] != source:
                self._report(
                    None, offset, f"destination offset {offset} holds no copy but is translated back to {back}"
                )

    def _sources(self, end: int) -> Sequence[int]:
        """The source offsets to check before `end`."""
        offsets = _both_ends(self._source, end)
        self.checked += len(offsets)
        self.left_out += max(0, end - self._source - len(offsets))
        return offsets

    def _wrong(self, source: int, destination: int | None, answer: Answer) -> None:
        expected = "no copy yet" if destination is None else f"destination offset {destination}"
        self._report(source, destination, f"source offset {source} is translated to {answer}, expected {expected}")


def _both_ends(first: int, end: int) -> Sequence[int]:
    if end - first <= 2 * GAP_LIMIT:
        return range(first, end)
    return [*range(first, first + GAP_LIMIT), *range(end - GAP_LIMIT, end)]


def _is_gap_to(answer: Answer, destination: int) -> bool:
    return isinstance(answer, InGap) and answer.next_offset == destination


def _within(answer: Answer, low: int, high: int) -> bool:
    """Whether a damaged record's answer lies between the copies around it, both ends included."""
    if isinstance(answer, Exact):
        return low <= answer.offset <= high
    return isinstance(answer, InGap) and answer.next_offset is not None and low <= answer.next_offset <= high
