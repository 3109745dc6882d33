from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from mesh.batch.encode import _PIECE_BYTES, _PIECE_RECORDS, encode, pieces, size_of
from mesh.batch.header import HEADER_BYTES, Codec, parse_header
from mesh.batch.limits import DEFAULT_LIMITS
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Producer
from mesh.batch.validate import validate
from tests.support.golden import GOLDEN_EPOCH, GOLDEN_OFFSET, GOLDEN_PRODUCER, GOLDEN_RECORDS, GOLDEN_SEQUENCE, JAVA
from tests.support.records import numbered, records


def read(batch: bytes) -> list[Record]:
    return list(records_of(parse_header(batch), batch[HEADER_BYTES:]))


@given(given_records=records, codec=st.sampled_from(list(Codec)))
def test_what_is_encoded_is_read_again_and_valid(given_records: list[Record], codec: Codec) -> None:
    batch = encode(given_records, codec=codec, producer=Producer(5, 1), base_sequence=9)
    header = validate(memoryview(batch), DEFAULT_LIMITS)
    assert read(batch) == numbered(given_records)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (5, 1, 9)
    assert header.max_timestamp_ms == max(record.timestamp_ms for record in given_records)


@pytest.mark.parametrize("codec", list(Codec))
def test_the_java_clients_bytes_are_read(codec: Codec) -> None:
    header = validate(memoryview(JAVA[codec]), DEFAULT_LIMITS)
    assert read(JAVA[codec]) == GOLDEN_RECORDS
    assert (header.base_offset, header.leader_epoch, header.base_sequence) == (40, GOLDEN_EPOCH, GOLDEN_SEQUENCE)
    assert (Producer(header.producer_id, header.producer_epoch), header.codec) == (GOLDEN_PRODUCER, codec)


def test_what_is_encoded_is_what_the_java_client_writes() -> None:
    """Compressed bytes hang on the version of a library, so they are compared by what both read in them."""
    ours = encode(GOLDEN_RECORDS, base_offset=GOLDEN_OFFSET, producer=GOLDEN_PRODUCER, base_sequence=GOLDEN_SEQUENCE)
    assert ours[:12] + GOLDEN_EPOCH.to_bytes(4, "big") + ours[16:] == JAVA[Codec.NONE]


@pytest.mark.parametrize("codec", list(Codec))
def test_the_other_implementation_reads_ours(codec: Codec) -> None:
    batch = MemoryRecords(encode(GOLDEN_RECORDS, codec=codec, base_offset=40)).next_batch()
    assert isinstance(batch, DefaultRecordBatch)
    assert batch.validate_crc()
    found = [Record(one.offset - 40, one.timestamp, one.key, one.value, tuple(one.headers)) for one in batch]
    assert found == GOLDEN_RECORDS


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.ZSTD])
def test_we_read_the_other_implementation(codec: Codec) -> None:
    builder = DefaultRecordBatchBuilder(2, codec, True, 7, 1, 3, 1 << 20)
    for delta, record in enumerate(GOLDEN_RECORDS):
        assert builder.append(delta, record.timestamp_ms, record.key, record.value, list(record.headers))
    batch = bytes(builder.build())
    assert read(batch) == GOLDEN_RECORDS
    assert parse_header(batch).is_transactional
    if codec is Codec.NONE:
        assert batch[HEADER_BYTES:] == encode(GOLDEN_RECORDS)[HEADER_BYTES:]


@given(st.lists(st.integers(0, 3 * _PIECE_BYTES), max_size=30))
def test_pieces_are_bounded_and_hold_everything_in_order(sizes: list[int]) -> None:
    found = list(pieces(sizes, lambda size: size))
    assert [size for piece in found for size in piece] == sizes
    assert all(piece and sum(piece[:-1]) < _PIECE_BYTES for piece in found)


def test_a_piece_of_small_things_is_bounded_by_their_number() -> None:
    assert [len(piece) for piece in pieces(range(2 * _PIECE_RECORDS + 1), lambda _: 0)] == [
        _PIECE_RECORDS,
        _PIECE_RECORDS,
        1,
    ]


@given(given_records=records)
def test_a_record_is_no_larger_than_it_is_taken_for(given_records: list[Record]) -> None:
    assert len(encode(given_records)) <= HEADER_BYTES + sum(map(size_of, given_records))
