"""What a log tells of idempotency keys, and what is remembered of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.local.keys import KeyOf, KeyTable, digest_of, read_header
from gateway.local.values import NewRecord
from mesh.local.names import KEY_HEADER

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
OPTIONAL = st.none() | st.binary(max_size=8)
RECORDS = st.lists(
    st.builds(
        NewRecord,
        OPTIONAL,
        OPTIONAL,
        st.lists(st.tuples(st.text(max_size=3), OPTIONAL), max_size=3).map(tuple),
        st.none() | st.integers(0, 9),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(KEYS, st.integers(1, 10_000), st.data())
def test_a_header_says_of_which_request_a_record_is(key: str, count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    of = KeyOf(key, digest_of(None, [NewRecord(b"k", b"v")]), count)
    assert read_header((("other", b"1"), of.header(index))) == (of, index)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60) | st.none(), st.sampled_from([KEY_HEADER, "other"]))
def test_any_other_header_is_none_of_ours_and_harms_nobody(value: bytes | None, name: str) -> None:
    found = read_header(((name, value),))
    assert found is None or (name == KEY_HEADER and found[1] < found[0].records)


def test_only_the_last_header_counts() -> None:
    of = KeyOf("k", "d" * 16, 2)
    assert read_header((of.header(0), ("other", None))) is None
    assert read_header(()) is None


@settings(max_examples=40, deadline=None)
@given(RECORDS, RECORDS, st.none() | st.integers(0, 2), st.none() | st.integers(0, 2))
def test_requests_have_one_digest_where_they_are_the_same(
    one: list[NewRecord], other: list[NewRecord], partition: int | None, another: int | None
) -> None:
    is_same = one == other and partition == another
    assert (digest_of(partition, one) == digest_of(another, other)) is is_same


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=40))
def test_the_first_offset_of_a_record_is_meant_and_the_latest_keys_are_kept(seen: list[tuple[int, int]]) -> None:
    table, most = KeyTable(max_keys=3), 3
    first: dict[str, dict[int, int]] = {}
    order: list[str] = []
    for offset, (key, index) in enumerate(seen):
        name = f"k{key}"
        if name not in order:
            order.append(name)
            first[name] = {}
        first[name].setdefault(index, offset)
        table.add(KeyOf(name, "d", 4), [index], offset, now_ms=offset)
        if len(order) > most:
            del first[order.pop(0)]
    assert {name: known.offsets for name in order if (known := table.get(name)) is not None} == first
    assert len(table) == len(order)


def test_another_request_under_a_key_takes_the_place_of_one_that_is_forgotten_elsewhere() -> None:
    table = KeyTable()
    table.add(KeyOf("k", "one", 1), [0], 5, 0)
    table.add(KeyOf("k", "two", 1), [0], 9, 0)
    assert table.offsets(KeyOf("k", "one", 1), [0]) is None
    assert table.offsets(KeyOf("k", "two", 1), [0]) == [9]


def test_what_is_older_than_the_window_is_forgotten() -> None:
    table = KeyTable()
    for at_ms in (10, 20, 30):
        table.add(KeyOf(f"k{at_ms}", "d", 1), [0], at_ms, at_ms)
    table.forget_before(20)
    assert [table.get(f"k{at_ms}") is not None for at_ms in (10, 20, 30)] == [False, True, True]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.sets(st.integers(0, 5)))
def test_a_part_of_a_request_is_known_where_all_of_it_is(count: int, there: set[int]) -> None:
    table, of = KeyTable(), KeyOf("k", "d", 6)
    for index in there:
        table.add(of, [index], 100 + index, 0)
    wanted = [*range(count)]
    expected = [100 + index for index in wanted] if {*wanted} <= there else None
    assert table.offsets(of, wanted) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30), min_size=1), min_size=1, max_size=4))
def test_stretches_answer_as_a_list_of_all_records_would(given_: list[set[int]]) -> None:
    table, of, offset = KeyTable(), KeyOf("k", "d", 31), 0
    plain: dict[int, int] = {}
    for indexes in map(sorted, given_):
        table.add(of, indexes, offset, 0)
        for index in indexes:
            plain.setdefault(index, offset)
            offset += 1
    known = table.get("k")
    assert known is not None
    assert known.offsets == plain
    assert [known.offset(index) for index in range(31)] == [plain.get(index) for index in range(31)]


def test_large_requests_count_by_their_records() -> None:
    table = KeyTable(max_records=100)
    for number in range(5):
        table.add(KeyOf(f"k{number}", "d", 40), range(40), number * 40, 0)
    assert [table.get(f"k{number}") is not None for number in range(5)] == [False, False, False, True, True]
    table.add(KeyOf("huge", "d", 500), range(500), 1000, 0)
    assert len(table) == 1
