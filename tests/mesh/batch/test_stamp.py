from __future__ import annotations

import pytest
from crc32c import crc32c

from mesh.batch.encode import encode
from mesh.batch.header import Codec, parse_header
from mesh.batch.records import Record, records_of
from mesh.batch.stamp import Producer, next_sequence, restamp, sequence_of
from tests.support.records import TIMESTAMP_MS, batch_with_holes

RECORDS = [Record(delta, TIMESTAMP_MS + delta, b"k", b"v") for delta in range(3)]


@pytest.mark.parametrize("codec", list(Codec))
def test_a_stamp_changes_the_header_alone(codec: Codec) -> None:
    batch = batch_with_holes(RECORDS, codec=codec, base_offset=77, attributes=0x50, producer_id=4)
    stamped = restamp(batch, Producer(12, 3), 41)
    header = parse_header(stamped.header + stamped.payload)
    before = parse_header(batch)
    assert header.crc == crc32c((stamped.header + stamped.payload)[21:])
    assert header == before._replace(
        base_offset=0,
        leader_epoch=-1,
        crc=header.crc,
        attributes=codec,
        producer_id=12,
        producer_epoch=3,
        base_sequence=41,
    )
    assert bytes(stamped.payload) == batch[61:]
    assert list(records_of(header, stamped.payload)) == RECORDS
    assert (stamped.count, stamped.size_bytes, stamped.base_sequence) == (3, len(batch), 41)


def test_the_payload_is_a_view_of_the_input() -> None:
    batch = memoryview(encode(RECORDS))
    assert isinstance(restamp(batch, Producer(1, 0), 0).payload, memoryview)
    assert restamp(batch, Producer(1, 0), 0).payload.obj is batch.obj  # type: ignore[union-attr]


def test_sequences_wrap_to_zero() -> None:
    last = (1 << 31) - 1
    assert [sequence_of(ordinal) for ordinal in (0, last, last + 1, 3 * (last + 1) + 5)] == [0, last, 0, 5]
    assert (next_sequence(last, 1), next_sequence(last - 1, 5), next_sequence(4, 3)) == (0, 3, 7)
    assert restamp(encode(RECORDS), Producer(1, 0), last).base_sequence == last
