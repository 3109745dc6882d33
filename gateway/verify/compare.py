"""Compares the visible records of a lane's source with those of its copy: pure, in one pass, in bounded memory.

Both sides are fed page by page, whichever `wants_source` says. While the heads agree, records are checked off; where
they do not, a window of both sides is aligned and what has no partner is set aside. In terms of whole sequences:

    matched    a longest common subsequence           reordered   in both, but not matched
    duplicated more often in the copy than in the source, and known to the source
    altered    in the copy, unknown to the source     lost        missing in the copy, less those altered

Records that the map does not claim (foreign, or duplicated if the source has the same; left over where the ledger says
that the source has lost them) or that a policy keeps back (filtered, quarantined) are counted and left out. Where bare
digests are fed, a copy without its timestamp is as good as one with it: overridden. Damage longer than the largest
window is always found, though perhaps not named as exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Protocol, TypeVar

from gateway.verify.align import Pairs, align
from gateway.verify.aside import Aside
from gateway.verify.findings import Findings
from gateway.verify.translations import TranslationCheck
from mesh.offsets.answers import Answer, Foreign, InGap
from mesh.spans import GapReason

_LEFT_OUT = frozenset({GapReason.FILTERED, GapReason.QUARANTINED})
WINDOW_RECORDS = 2048
WINDOW_GROWTH = 8
WINDOW_LIMIT_RECORDS = 1 << 20

_T = TypeVar("_T")


class Translations(Protocol):
    """What is asked of the lane's offset map."""

    def translate(self, source_offset: int) -> Answer: ...

    def translate_back(self, destination_offset: int) -> Answer: ...


class _Side:
    """Records that wait to be compared, and what the map says of each."""

    __slots__ = ("answers", "bare", "digests", "ended", "offsets")

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.digests: list[bytes] = []
        self.bare: list[bytes] = []
        """Without timestamps: for each record or for none."""
        self.answers: list[Answer] = []
        self.ended = False

    def add(self, offsets: Sequence[int], digests: Sequence[bytes], answers: Sequence[Answer]) -> None:
        self.offsets += offsets
        self.digests += digests
        self.answers += answers

    def has(self, window: int) -> bool:
        return self.ended or len(self.offsets) >= window

    def drop(self, count: int) -> None:
        del self.offsets[:count], self.digests[:count], self.answers[:count], self.bare[:count]


class Comparison:
    """Feed each side in order to its end, then `finish`; `findings` then hold the verdict."""

    def __init__(
        self,
        translations: Translations,
        start: int,
        destination_start: int,
        window: int = WINDOW_RECORDS,
        left_over: Sequence[range] = (),
    ) -> None:
        """`left_over` are the destination offsets of copies whose records the source has lost since."""
        self.findings = Findings()
        self._left_over = left_over
        self._translations = translations
        self._check = TranslationCheck(
            translations.translate, translations.translate_back, start, destination_start, self._wrong
        )
        self._aside = Aside(self.findings)
        self._a, self._b = _Side(), _Side()
        self._first_window = self._window = window

    def _wrong(self, source_offset: int | None, destination_offset: int | None, detail: str) -> None:
        self.findings.note("wrong_translations", source_offset, destination_offset, detail)

    @property
    def wants_source(self) -> bool:
        """Whether the source is to be fed next, rather than the destination."""
        if self._a.ended or self._b.ended:
            return not self._a.ended
        return len(self._a.offsets) <= len(self._b.offsets)

    @property
    def fed(self) -> bool:
        return self._a.ended and self._b.ended

    def source(
        self, offsets: Sequence[int], digests: Sequence[bytes], bare: Sequence[bytes] = (), *, ended: bool = False
    ) -> None:
        """The next visible source records; `ended` with the last of them. `bare`: always, or never."""
        answers = list(map(self._translations.translate, offsets))
        keep = [not (a.__class__ is InGap and a[0] in _LEFT_OUT) for a in answers]
        self.findings.filtered += keep.count(False)
        self._aside.seen((*digests, *bare) if bare else digests)
        self._a.bare += _kept(bare, keep) if bare else ()
        self._feed(self._a, offsets, digests, answers, keep, ended)

    def destination(self, offsets: Sequence[int], digests: Sequence[bytes], *, ended: bool = False) -> None:
        """The next visible records of the copy; `ended` with the last of them."""
        answers = list(map(self._translations.translate_back, offsets))
        keep = [answer.__class__ is not Foreign for answer in answers]
        if not all(keep):
            for offset, digest, kept in zip(offsets, digests, keep, strict=True):
                if not kept:
                    self._unclaimed(offset, digest)
        self._feed(self._b, offsets, digests, answers, keep, ended)

    def _unclaimed(self, offset: int, digest: bytes) -> None:
        if any(offset in each for each in self._left_over):
            self.findings.left_over += 1
        else:
            self._aside.unclaimed(offset, digest)

    def _feed(
        self, side: _Side, offsets: Sequence[int], digests: Sequence[bytes], answers: Sequence[Answer],
        keep: list[bool], ended: bool,
    ) -> None:  # fmt: skip
        if not all(keep):
            offsets, digests, answers = _kept(offsets, keep), _kept(digests, keep), _kept(answers, keep)
        side.add(offsets, digests, answers)
        side.ended = ended
        self._advance()

    def finish(self, position: int, destination_end: int) -> Findings:
        """The verdict, once both sides have ended; the comparison went to these offsets (exclusive)."""
        assert self.fed
        self._check.finish(position, destination_end)
        self._aside.settle()
        self.findings.translations = self._check.checked
        self.findings.translations_left_out = self._check.left_out
        return self.findings

    def _advance(self) -> None:
        a, b = self._a, self._b
        while True:
            self._matched(self._agreeing())
            done = not a.offsets and not b.offsets
            starved = (not a.offsets and not a.ended) or (not b.offsets and not b.ended)
            if done or starved or not (a.has(self._window) and b.has(self._window)):
                return
            self._damage()

    def _agreeing(self) -> int:
        """How many heads agree, those without their timestamps included."""
        a, b = self._a, self._b
        count = _common_prefix(a.digests, b.digests)
        while count < min(len(a.bare), len(b.digests)) and a.bare[count] == b.digests[count] != a.digests[count]:
            self._override(count)
            count += 1
            while count < min(len(a.digests), len(b.digests)) and a.digests[count] == b.digests[count]:
                count += 1
        return count

    def _override(self, index: int) -> None:
        """The record is compared without its timestamp from now on."""
        self._a.digests[index] = self._a.bare[index]
        self.findings.overridden += 1

    def _override_all(self) -> None:
        """Of the window, those that are there without their timestamp only."""
        a = self._a
        there = set(self._b.digests[: self._window])
        for index, bare in enumerate(a.bare[: self._window]):
            if bare in there and a.digests[index] not in there:
                self._override(index)

    def _matched(self, count: int) -> None:
        a, b = self._a, self._b
        if count:
            self._check.copies(a.offsets[:count], b.offsets[:count], a.answers[:count], b.answers[:count])
            self.findings.records += count
            self._window = self._first_window
            a.drop(count)
            b.drop(count)

    def _damage(self) -> None:
        """The heads differ: align a window, and go on after its last pair."""
        a, b = self._a, self._b
        self._override_all()
        pairs = align(a.digests[: self._window], b.digests[: self._window])
        whole = a.ended and b.ended and max(len(a.offsets), len(b.offsets)) <= self._window
        searchable = a.offsets and b.offsets and not whole
        if not pairs and searchable and self._window < WINDOW_LIMIT_RECORDS:
            self._window *= WINDOW_GROWTH
            return
        ends = pairs[-1] if pairs and not whole else (self._clip(a), self._clip(b))
        self._set_aside(pairs, *ends)

    def _clip(self, side: _Side) -> int:
        return min(len(side.offsets), self._window)

    def _set_aside(self, pairs: Pairs, end_a: int, end_b: int) -> None:
        """Everything before the ends that is in no pair; the last pair itself stays as the new heads."""
        a, b = self._a, self._b
        i, j = 0, 0
        for x, y in [pair for pair in pairs if pair[0] < end_a and pair[1] < end_b] + [(end_a, end_b)]:
            self._slot(i, x, j, y)
            if (x, y) != (end_a, end_b):
                self._check.copies(
                    a.offsets[x : x + 1], b.offsets[y : y + 1], a.answers[x : x + 1], b.answers[y : y + 1]
                )
                self.findings.records += 1
            i, j = x + 1, y + 1
        self._window = self._first_window
        a.drop(end_a)
        b.drop(end_b)

    def _slot(self, i: int, x: int, j: int, y: int) -> None:
        """Between two pairs: source records [i, x) and destination records [j, y) have no partner there."""
        a, b = self._a, self._b
        if i == x and j == y:
            return
        if x - i == y - j:
            # As many as there should be: each is where its record's copy belongs, whatever it holds.
            self._check.copies(a.offsets[i:x], b.offsets[j:y], a.answers[i:x], b.answers[j:y])
        else:
            self._check.damage(_end(a.offsets, x), _end(b.offsets, y))
        self.findings.records += x - i
        for place in range(i, x):
            self._aside.missing(a.offsets[place], a.digests[place])
        for place in range(j, y):
            beside = a.offsets[i + place - j] if x - i == y - j else None
            self._aside.extra(b.offsets[place], b.digests[place], beside)


def _end(offsets: Sequence[int], index: int) -> int:
    """Where a stretch ends: at the next record, or after the last one."""
    return offsets[index] if index < len(offsets) else offsets[-1] + 1 if offsets else 0


def _kept(items: Sequence[_T], keep: Sequence[bool]) -> list[_T]:
    return list(compress(items, keep))


def _common_prefix(a: list[bytes], b: list[bytes]) -> int:
    count = min(len(a), len(b))
    if a[:count] == b[:count]:
        return count
    return next(index for index in range(count) if a[index] != b[index])
