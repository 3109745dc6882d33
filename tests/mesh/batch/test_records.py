from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.batch.encode import encode
from mesh.batch.errors import BatchPoison
from mesh.batch.header import HEADER_BYTES, BatchHeader, parse_header
from mesh.batch.records import Record, check_records, iter_records, records_of
from tests.support.poison import POISON
from tests.support.records import TIMESTAMP_MS, batch_of, batch_with_holes, body, framed, numbered, records, varint

RECORD = Record(0, TIMESTAMP_MS, b"k", b"v")


def header_for(payload: bytes, count: int = 1, **fields: int) -> BatchHeader:
    return parse_header(batch_of(payload, count, **fields))


@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused_with_its_place(name: str) -> None:
    payload, count, why, record = POISON[name]
    with pytest.raises(BatchPoison, match=why) as caught:
        check_records(header_for(payload, count), payload)
    assert caught.value.record == record
    assert 0 <= caught.value.at_byte <= len(payload)
    with pytest.raises(BatchPoison, match=why):
        list(iter_records(header_for(payload, count), payload, dense=True))


def test_longer_forms_of_a_number_are_read() -> None:
    start = b"\0" + varint(3, 10) + varint(0, 5) + varint(-1, 5) + varint(1, 2) + b"v"
    payload = framed(start + varint(0, 3))
    assert list(iter_records(header_for(payload), payload)) == [Record(0, TIMESTAMP_MS + 3, None, b"v")]
    headers = varint(1, 2) + varint(1, 3) + b"h" + varint(-1, 2)
    payload = varint(len(start + headers), 4) + start + headers
    assert list(iter_records(header_for(payload), payload)) == [Record(0, TIMESTAMP_MS + 3, None, b"v", (("h", None),))]


def test_holes_are_read_unless_a_dense_batch_is_asked_for() -> None:
    holes = [RECORD._replace(offset_delta=delta) for delta in (2, 3, 70)]
    batch = batch_with_holes(holes, last_offset_delta=80)
    assert list(records_of(parse_header(batch), batch[HEADER_BYTES:])) == holes
    with pytest.raises(BatchPoison, match="offset delta 2 is out of order"):
        check_records(parse_header(batch), batch[HEADER_BYTES:])


@pytest.mark.parametrize("deltas", [(2, 2), (3, 1), (0, 9), (-1, 0)])
def test_offsets_with_holes_must_rise_within_the_batch(deltas: tuple[int, int]) -> None:
    batch = batch_with_holes([RECORD._replace(offset_delta=delta) for delta in deltas], last_offset_delta=8)
    with pytest.raises(BatchPoison, match="out of order"):
        list(records_of(parse_header(batch), batch[HEADER_BYTES:]))


def test_an_empty_batch_has_no_records_whatever_its_codec() -> None:
    batch = batch_of(b"", 0, last_offset_delta=5, attributes=4)
    assert list(records_of(parse_header(batch), batch[HEADER_BYTES:])) == []


@given(records, st.data())
def test_every_cut_and_every_trailing_byte_is_refused(some: list[Record], data: st.DataObject) -> None:
    batch = encode(some)
    header, payload = parse_header(batch), batch[HEADER_BYTES:]
    at = data.draw(st.integers(0, len(payload) - 1))
    for broken in (payload[:at], payload + b"\0"):
        with pytest.raises(BatchPoison):
            check_records(header, broken)


@given(st.binary(max_size=60), st.integers(-2, 9), st.booleans())
def test_any_bytes_give_records_or_poison(payload: bytes, count: int, dense: bool) -> None:
    header = header_for(payload, count)
    try:
        found = list(iter_records(header, payload, dense=dense))
    except BatchPoison:
        return
    assert len(found) == count


@given(records, st.data())
def test_a_changed_byte_gives_poison_or_records_that_encode_to_as_many(some: list[Record], data: st.DataObject) -> None:
    batch = bytearray(encode(some))
    at = data.draw(st.integers(HEADER_BYTES, len(batch) - 1))
    batch[at] ^= data.draw(st.integers(1, 255))
    try:
        found = list(iter_records(parse_header(batch), bytes(batch[HEADER_BYTES:]), dense=True))
    except BatchPoison:
        return
    assert found == numbered(found)
    assert len(found) == len(some)


def test_a_body_made_by_hand_is_what_encode_writes() -> None:
    record = RECORD._replace(headers=(("a", None), ("a", b"x")))
    assert framed(body(record)) == encode([record])[HEADER_BYTES:]
