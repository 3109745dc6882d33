"""Where records go and in which batches, for any request."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.local.placing import BATCH_OVERHEAD_BYTES, keyless_of, pieces, placed, places, size_of
from gateway.local.values import NewRecord, Placed
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.batch.stamp import Producer
from mesh.partitioner import by_key

OPTIONAL = st.none() | st.binary(max_size=30)
HEADERS = st.lists(st.tuples(st.text(max_size=5), OPTIONAL), max_size=3).map(tuple)
RECORDS = st.lists(st.builds(NewRecord, OPTIONAL, OPTIONAL, HEADERS), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(RECORDS, st.integers(1, 5), st.integers(0, 4))
def test_each_record_has_its_place(records: list[NewRecord], partitions: int, keyless: int) -> None:
    found = places(records, None, by_key(partitions), keyless % partitions)
    for record, number in zip(records, found, strict=True):
        assert number == (keyless % partitions if record.key is None else by_key(partitions)(record.key))
    assert places(records, 3, by_key(partitions), 0) == [3] * len(records)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=10), st.integers(1, 50))
def test_a_repeated_request_goes_where_it_went(key: str, partitions: int) -> None:
    assert keyless_of(key, partitions) == keyless_of(key, partitions) < partitions


@settings(max_examples=40, deadline=None)
@given(RECORDS)
def test_a_batch_is_never_larger_than_reckoned(records: list[NewRecord]) -> None:
    made = [Record(0, 1 << 61, record.key, record.value, record.headers) for record in records]
    whole = encode([made[0]._replace(timestamp_ms=0), *made[1:]], producer=Producer(1 << 40, 7), base_sequence=1 << 30)
    assert len(whole) <= BATCH_OVERHEAD_BYTES + sum(map(size_of, records))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), max_size=40), st.integers(1, 100))
def test_pieces_hold_everything_once_in_order_and_within_bounds(given_: list[tuple[int, int]], most: int) -> None:
    where, sizes = [number for number, _ in given_], [size for _, size in given_]
    found = list(pieces(where, sizes, most))
    assert sorted(index for _, indexes in found for index in indexes) == [*range(len(given_))]
    for number in {*where}:
        of_partition = [indexes for partition, indexes in found if partition == number]
        assert [index for indexes in of_partition for index in indexes] == [
            index for index, there in enumerate(where) if there == number
        ]
        for indexes, following in zip(of_partition, [*of_partition[1:], None], strict=True):
            size = sum(sizes[index] for index in indexes)
            assert size <= most or len(indexes) == 1
            assert following is None or size + sizes[following[0]] > most


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 20), st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=20))
def test_stretches_say_where_each_record_is(found: dict[int, tuple[int, int]]) -> None:
    stretches = placed(found)
    said = [(each.partition, each.first_offset + n) for each in stretches for n in range(each.count)]
    assert said == [found[index] for index in sorted(found)]


def test_neighbours_are_one_stretch() -> None:
    assert placed({0: (1, 5), 1: (1, 6), 2: (0, 7), 3: (1, 7)}) == [Placed(1, 5, 2), Placed(0, 7, 1), Placed(1, 7, 1)]
