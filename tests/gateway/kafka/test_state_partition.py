"""State in memory as its log says: what is read, what is found again, and what has changed since when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.kafka.entries import Entries
from gateway.kafka.state_partition import StatePartition
from mesh.batch.encode import encode
from mesh.batch.records import Record
from mesh.ids import Partition, TopicId

parts = st.sampled_from(["lane", "writer", "a", "ab", "0", ""])
keys = st.lists(parts, min_size=1, max_size=5).map("/".join)


@given(st.lists(st.tuples(keys, st.none() | st.binary(max_size=2))), keys)
def test_entries_are_found_as_in_a_plain_mapping(puts: list[tuple[str, bytes | None]], prefix: str) -> None:
    entries, plain = Entries(), dict[str, bytes]()
    for key, value in puts:
        entries.put(key, value)
        plain.pop(key, None)
        if value is not None:
            plain[key] = value
    assert dict(entries) == plain
    assert len(entries) == len(plain)
    assert all(entries.get(key) == plain.get(key) for key, _ in puts)
    assert entries.below(prefix) == {key: value for key, value in plain.items() if key.startswith(prefix)}


def read(part: StatePartition, *entries: tuple[str, bytes | None]) -> None:
    records = [Record(at, 0, key.encode(), value) for at, (key, value) in enumerate(entries)]
    part.take(memoryview(encode(records, base_offset=part.position)))


def test_only_what_is_asked_for_later_is_remembered_of_removed_keys() -> None:
    part = StatePartition(Partition("_mesh.lanes", 0), TopicId("0" * 32))
    read(part, ("lane/flights/departures/0/running", b"gw-1"))
    read(part, ("lane/flights/departures/0/running", None))
    assert (len(part.entries), part.touched) == (0, None)
    part.touched = {}
    read(part, ("share/flights", b"{}"), ("share/fares", None))
    assert part.touched == {"share/flights": part.version, "share/fares": part.version}
