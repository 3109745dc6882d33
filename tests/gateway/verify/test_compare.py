"""The comparison finds each kind of damage and names it; on small inputs it agrees with a naive model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.verify.compare import Comparison
from gateway.verify.findings import KINDS, Findings, closing_line
from mesh.offsets.answers import Answer, Exact, InGap
from mesh.offsets.map import OffsetMap
from mesh.spans import GapReason


def digest(value: object) -> bytes:
    return blake2b(repr(value).encode(), digest_size=16).digest()


Log = list[tuple[int, bytes]]


def log_of(values: Sequence[object], first: int = 0) -> Log:
    return [(first + index, digest(value)) for index, value in enumerate(values)]


def dense_map(count: int, start: int = 0, destination_start: int = 0) -> OffsetMap:
    made = OffsetMap(start, destination_start)
    if count:
        made.add_records(start, destination_start, count)
    return made


def compare(offset_map: OffsetMap, source: Log, copy: Log, page: int = 1000, window: int = 2048) -> Findings:
    comparison = Comparison(offset_map, offset_map.start, offset_map.destination_start, window)
    rest_a, rest_b = source, copy
    while not comparison.fed:
        if comparison.wants_source:
            now, rest_a = rest_a[:page], rest_a[page:]
            comparison.source([o for o, _ in now], [d for _, d in now], ended=not rest_a)
        else:
            now, rest_b = rest_b[:page], rest_b[page:]
            comparison.destination([o for o, _ in now], [d for _, d in now], ended=not rest_b)
    return comparison.finish(offset_map.position, offset_map.destination_offset)


def counts(findings: Findings) -> dict[str, int]:
    return {kind: getattr(findings, kind) for kind in KINDS if getattr(findings, kind)}


def test_equal_logs_are_clean_and_every_offset_is_checked() -> None:
    found = compare(dense_map(5000), log_of(range(5000)), log_of(range(5000)))
    assert found.clean
    assert (found.records, found.translations, found.evidence) == (5000, 5000, [])


def test_gaps_at_the_source_are_expected_to_answer_the_next_copy() -> None:
    offset_map = OffsetMap(10, 100)
    offset_map.add_records(10, 100, 3)
    offset_map.add_gap(13, 2, GapReason.ABORTED)
    offset_map.add_gap(15, 1, GapReason.MARKER)
    offset_map.add_records(16, 103, 2)
    offset_map.add_gap(18, 4, GapReason.COMPACTED)
    source = [(o, digest(o)) for o in (10, 11, 12, 16, 17)]
    found = compare(offset_map, source, log_of([10, 11, 12, 16, 17], 100))
    assert found.clean
    assert found.translations == 12


def test_a_lost_record_is_named_with_its_source_offset() -> None:
    offset_map = dense_map(50)
    found = compare(offset_map, log_of(range(50)), log_of([v for v in range(50) if v != 30]))
    assert found.lost == 1
    assert [e.source_offset for e in found.evidence if e.kind == "lost"] == [30]
    assert found.wrong_translations == 19, "what follows the hole is not where the map says"
    assert (found.duplicated, found.reordered, found.altered) == (0, 0, 0)


def test_a_truncated_copy_is_loss() -> None:
    found = compare(dense_map(5000), log_of(range(5000)), log_of(range(4990)))
    assert found.lost == 10
    assert [e.source_offset for e in found.evidence if e.kind == "lost"] == list(range(4990, 5000))


def test_a_duplicated_record_is_named_with_its_destination_offset() -> None:
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 51)
    found = compare(offset_map, log_of(range(50)), log_of([*range(20), 19, *range(20, 50)]))
    assert found.duplicated == 1
    assert [e.destination_offset for e in found.evidence if e.kind == "duplicated"] == [20]
    assert (found.lost, found.reordered, found.altered) == (0, 0, 0)


def test_a_batch_written_again_much_later_is_duplicates() -> None:
    values = [*range(9000), *range(100, 3100), *range(9000, 12000)]
    found = compare(dense_map(15000), log_of(range(12000)), log_of(values))
    assert (found.duplicated, found.lost, found.reordered, found.altered) == (3000, 0, 0, 0)


def test_a_long_loss_is_loss_whatever_the_window() -> None:
    values = [*range(3000), *range(13000, 20000)]
    found = compare(dense_map(20000), log_of(range(20000)), log_of(values), window=64)
    assert (found.lost, found.duplicated, found.reordered, found.altered) == (10000, 0, 0, 0)


def test_swapped_neighbours_are_one_reordered_record() -> None:
    values = [*range(20), 21, 20, *range(22, 50)]
    found = compare(dense_map(50), log_of(range(50)), log_of(values))
    assert (found.reordered, found.lost, found.duplicated, found.altered) == (1, 0, 0, 0)
    assert next(e for e in found.evidence if e.kind == "reordered").source_offset in {20, 21}


def test_a_record_that_moved_far_is_reordered_not_lost() -> None:
    values = [*range(10), *range(11, 9000), 10, *range(9000, 9500)]
    found = compare(dense_map(9500), log_of(range(9500)), log_of(values), window=128)
    assert (found.reordered, found.lost, found.duplicated, found.altered) == (1, 0, 0, 0)


def test_an_altered_record_is_named_with_both_offsets_and_its_translation_stands() -> None:
    values: list[object] = [*range(50)]
    values[7] = "other"
    found = compare(dense_map(50, 5, 90), log_of(range(50), 5), log_of(values, 90))
    assert counts(found) == {"altered": 1}
    assert [(e.source_offset, e.destination_offset) for e in found.evidence] == [(12, 97)]


def test_every_record_altered_is_found_in_bounded_windows() -> None:
    found = compare(dense_map(3000), log_of(range(3000)), log_of([f"x{v}" for v in range(3000)]), window=64)
    assert counts(found) == {"altered": 3000}


class Shifted:
    """A map that is wrong by one from an offset on."""

    def __init__(self, offset_map: OffsetMap, forth: int = 1 << 60, back: int = 1 << 60) -> None:
        self._map, self._forth, self._back = offset_map, forth, back
        self.start, self.destination_start = offset_map.start, offset_map.destination_start
        self.position, self.destination_offset = offset_map.position, offset_map.destination_offset

    def translate(self, offset: int) -> Answer:
        answer = self._map.translate(offset)
        return Exact(answer.offset + 1) if isinstance(answer, Exact) and offset >= self._forth else answer

    def translate_back(self, offset: int) -> Answer:
        answer = self._map.translate_back(offset)
        return Exact(answer.offset - 1) if isinstance(answer, Exact) and offset >= self._back else answer


@pytest.mark.parametrize("direction", ["forth", "back"])
def test_a_translation_wrong_by_one_is_found_with_its_offsets(direction: str) -> None:
    wrong = Shifted(dense_map(50), **{direction: 48})
    found = compare(wrong, log_of(range(50)), log_of(range(50)))  # type: ignore[arg-type]
    assert counts(found) == {"wrong_translations": 2}
    assert [e.source_offset for e in found.evidence] == [48, 49]
    assert "translated" in found.evidence[0].detail


def test_a_gap_that_answers_beyond_the_next_copy_is_wrong() -> None:
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 2)
    offset_map.add_gap(2, 2, GapReason.ABORTED)
    offset_map.add_records(4, 2, 2)

    class Skips(Shifted):
        def translate(self, offset: int) -> Answer:
            return InGap(GapReason.ABORTED, 3) if offset == 3 else super().translate(offset)

    source = [(o, digest(o)) for o in (0, 1, 4, 5)]
    found = compare(Skips(offset_map), source, log_of([0, 1, 4, 5]))  # type: ignore[arg-type]
    assert counts(found) == {"wrong_translations": 1}
    assert found.evidence[0].source_offset == 3


def test_a_foreign_write_is_counted_apart_and_is_no_damage() -> None:
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 20)
    offset_map.add_records(20, 22, 20)
    found = compare(offset_map, log_of(range(40)), log_of([*range(20), "f", "g", *range(20, 40)]))
    assert found.clean
    assert found.foreign == 2
    assert [(e.kind, e.destination_offset) for e in found.evidence] == [("foreign", 20), ("foreign", 21)]


@pytest.mark.parametrize("page", [7, 1000])
def test_a_second_copy_that_the_map_does_not_claim_is_a_duplicate_not_foreign(page: int) -> None:
    # As when a batch whose answer was lost is written again: the map knows of one of the two.
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 20)
    offset_map.add_records(20, 30, 20)
    found = compare(offset_map, log_of(range(40)), log_of([*range(20), *range(20, 30), *range(20, 40)]), page=page)
    assert counts(found) == {"duplicated": 10}
    assert found.foreign == 0
    assert [e.destination_offset for e in found.evidence] == list(range(20, 30))


def test_filtered_records_are_counted_apart_and_are_no_loss() -> None:
    offset_map = OffsetMap(0)
    offset_map.add_records(0, 0, 5)
    offset_map.add_gap(5, 2, GapReason.FILTERED)
    offset_map.add_records(7, 5, 3)
    found = compare(offset_map, log_of(range(10)), log_of([0, 1, 2, 3, 4, 7, 8, 9]))
    assert found.clean
    assert (found.filtered, found.records) == (2, 8)


def test_an_empty_lane_is_clean() -> None:
    assert compare(dense_map(0), [], []).clean


def test_closing_line_is_what_scripts_look_for() -> None:
    line = closing_line(336776, dict.fromkeys(KINDS, 0))
    assert line == "verified: 336776 records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"


# The naive model: whole sequences, a table for the longest common subsequence, multisets for the rest.


def longest_common(a: Sequence[object], b: Sequence[object]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        previous = row[:]
        for j, y in enumerate(b):
            row[j + 1] = previous[j] + 1 if x == y else max(previous[j + 1], row[j])
    return row[-1]


def naive(a: Sequence[object], b: Sequence[object]) -> dict[str, int]:
    in_a, in_b = Counter(a), Counter(b)
    extra = in_b - in_a
    altered = sum(count for value, count in extra.items() if value not in in_a)
    model = {
        "duplicated": extra.total() - altered,
        "altered": altered,
        "reordered": (in_a & in_b).total() - longest_common(a, b),
        "lost": max(0, (in_a - in_b).total() - altered),
    }
    return {kind: count for kind, count in model.items() if count}


@given(
    a=st.lists(st.integers(0, 12), max_size=14),
    b=st.lists(st.integers(0, 14), max_size=14),
    page=st.integers(1, 5),
)
@settings(max_examples=200, deadline=None)
def test_small_sequences_are_judged_as_by_the_naive_model(a: list[int], b: list[int], page: int) -> None:
    found = compare(dense_map(max(len(a), len(b))), log_of(a), log_of(b), page=page)
    assert {k: v for k, v in counts(found).items() if k != "wrong_translations"} == naive(a, b)


Damage = Callable[[list[object], int], None]


def _lose(values: list[object], place: int) -> None:
    del values[place]


def _repeat(values: list[object], place: int) -> None:
    values.insert(place, values[place])


def _swap(values: list[object], place: int) -> None:
    values[place], values[place + 1] = values[place + 1], values[place]


def _alter(values: list[object], place: int) -> None:
    values[place] = ("altered", values[place])


DAMAGES: dict[str, Damage] = {"lost": _lose, "duplicated": _repeat, "reordered": _swap, "altered": _alter}


@given(
    places=st.dictionaries(st.integers(0, 90), st.sampled_from(sorted(DAMAGES)), max_size=8),
    page=st.integers(1, 700),
    window=st.sampled_from([8, 64, 2048]),
)
@settings(max_examples=30, deadline=None)
def test_damage_spread_over_a_long_log_is_counted_whatever_the_pages(
    places: dict[int, str], page: int, window: int
) -> None:
    values: list[object] = list(range(2000))
    # Places a window apart and apart from each other, from the back so that earlier ones stay where they are.
    for place, kind in sorted(places.items(), reverse=True):
        DAMAGES[kind](values, place * 20 + 5)
    found = compare(dense_map(2010), log_of(range(2000)), log_of(values), page=page, window=window)
    expected = Counter(places.values())
    assert {k: v for k, v in counts(found).items() if k != "wrong_translations"} == dict(expected)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["records", "gap", "foreign"]), st.integers(1, 5)), max_size=20),
    page=st.integers(1, 9),
)
@settings(max_examples=100, deadline=None)
def test_any_true_map_is_found_true(steps: list[tuple[str, int]], page: int) -> None:
    offset_map, source, copy = OffsetMap(3, 7), [], []
    destination = 7
    for kind, count in steps:
        if kind == "records":
            offset_map.add_records(offset_map.position, destination, count)
            for index in range(count):
                value = offset_map.position - count + index
                source.append((value, digest(value)))
                copy.append((destination + index, digest(value)))
            destination += count
        elif kind == "gap":
            offset_map.add_gap(offset_map.position, count, GapReason.ABORTED)
        else:
            copy += [(destination + index, digest("foreign")) for index in range(count)]
            destination += count
    copy = [(o, d) for o, d in copy if o < offset_map.destination_offset]
    found = compare(offset_map, source, copy, page=page)
    assert found.clean, found.evidence
    assert found.translations == offset_map.position - 3
    assert all(x < y for x, y in pairwise(o for o, _ in copy))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.integers(1, 9), st.integers(2, 16))
def test_any_records_may_come_without_their_timestamps_where_bare_digests_are_fed(
    values: list[tuple[int, bool]], page: int, window: int
) -> None:
    """Contents repeat, timestamps do not."""
    full, bare = [digest(pair) for pair in enumerate(value for value, _ in values)], [digest(v) for v, _ in values]
    copies = [bare[at] if is_bare else full[at] for at, (_, is_bare) in enumerate(values)]
    offset_map, at_a, at_b = dense_map(len(values)), 0, 0
    comparison = Comparison(offset_map, 0, 0, window)
    while not comparison.fed:
        if comparison.wants_source:
            end = min(at_a + page, len(values))
            now = slice(at_a, end)
            comparison.source(range(at_a, end), full[now], bare[now], ended=end == len(values))
            at_a = end
        else:
            end = min(at_b + page, len(values))
            comparison.destination(range(at_b, end), copies[at_b:end], ended=end == len(values))
            at_b = end
    found = comparison.finish(len(values), len(values))
    assert found.clean
    assert (found.records, found.overridden) == (len(values), sum(is_bare for _, is_bare in values))
