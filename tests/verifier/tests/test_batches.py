"""The decoder against bytes that Apache Kafka wrote, and against bytes that nobody should have written."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifier.batches import Batch, Damaged, decode, outcome_of, read_batches
from tests.verifier.codecs import NAMES, unpack
from tests.verifier.tests.encoding import Encoded, encode, marker, packed, varint

TIMESTAMP_MS = 1_700_000_000_000
JAVA = {
    "none": "0000000000000028000000ce0000000202c9568d920000000000020000018bcfe568000000018bcfe5692c0000000000000007"
    "000100000003000000038402000000066b6579f00176616c75652076616c75652076616c75652076616c75652076616c756520"
    "76616c75652076616c75652076616c75652076616c75652076616c75652076616c75652076616c75652076616c75652076616c"
    "75652076616c75652076616c75652076616c75652076616c75652076616c75652076616c756520000c0009020100002200d804"
    "0400010602620231026101026200",
    "gzip": "0000000000000028000000720000000202272b556b0001000000020000018bcfe568000000018bcfe5692c0000000000000007"
    "0001000000030000000"
    "31f8b08000000000000ff6b6162606060cb4eadfcc0589698539aaa407f92818781938991814189e1060b0b03231b531293215"
    "322235312030083f3989e9d000000",
    "snappy": "00000000000000280000007a0000000202601c2e330002000000020000018bcfe568000000018bcfe5692c00000000000000"
    "070001000000030000000382534e41505059000000000100000001000000359d01408402000000066b6579f00176616c756520"
    "fe0600c6060064000c0009020100002200d8040400010602620231026101026200",
    "lz4": "0000000000000028000000720000000202f6ac76040003000000020000018bcfe568000000018bcfe5692c0000000000000007"
    "000100000003000000030"
    "4224d1860408232000000ff028402000000066b6579f00176616c75652006005ff00b000c0009020100002200d804040001060"
    "262023102610102620000000000",
    "zstd": "00000000000000280000007000000002022a1513dd0004000000020000018bcfe568000000018bcfe5692c0000000000000007"
    "0001000000030000000"
    "328b52ffd00589c0100b4028402000000066b6579f00176616c756520000c0009020100002200d804040001060262023102610"
    "102620001005fd2b204010000",
}
"""The same three records as Apache Kafka 4.1.1's `MemoryRecordsBuilder` writes them, in each codec."""


@dataclass
class Bent:
    """A batch of one record whose fields are put together by hand."""

    body: bytes
    records: int = 1
    last_delta: int = 0

    def raw(self) -> bytes:
        covered = struct.pack(">hiqqqhii", 0, self.last_delta, 0, 0, -1, -1, -1, self.records) + self.body
        return struct.pack(">qiibI", 0, len(covered) + 9, 0, 2, crc32c(covered)) + covered


def record(key: bytes = b"\x01", value: bytes = b"\x01", headers: bytes = b"\x00", delta: int = 0) -> bytes:
    body = b"\x00\x00" + varint(delta) + key + value + headers
    return varint(len(body)) + body


@pytest.mark.parametrize("codec", NAMES)
def test_reads_what_kafka_writes_in_each_codec(codec: str) -> None:
    batch = decode(bytes.fromhex(JAVA[codec]))
    header = batch.header
    assert (header.base_offset, header.last_offset, header.leader_epoch, header.records) == (40, 42, 2, 3)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 1, 3)
    assert batch.records == [
        (40, TIMESTAMP_MS, b"key", b"value " * 20, []),
        (41, TIMESTAMP_MS - 5, None, b"", []),
        (42, TIMESTAMP_MS + 300, b"", None, [(b"b", b"1"), (b"a", None), (b"b", b"")]),
    ]


def test_a_cut_batch_at_the_end_is_left_out_wherever_it_is_cut() -> None:
    whole = bytes.fromhex(JAVA["none"])
    for end in range(len(whole), 2 * len(whole)):
        found = list(read_batches(io.BytesIO((whole + whole)[:end])))
        assert [type(each) for each in found] == [Batch]


def test_each_flipped_bit_under_the_crc_is_told_with_its_place() -> None:
    whole = bytearray.fromhex(JAVA["lz4"])
    for at in range(17, len(whole)):
        bent = bytearray(whole)
        bent[at] ^= 4
        (found,) = read_batches(io.BytesIO(bent))
        assert isinstance(found, Damaged), at
        assert (found.position, found.offset, found.why) == (0, 40, "the CRC is wrong")


def test_reading_goes_on_behind_a_damaged_batch() -> None:
    whole = bytearray.fromhex(JAVA["none"])
    whole[100] ^= 1
    found = list(read_batches(io.BytesIO(bytes(whole) + bytes.fromhex(JAVA["gzip"]))))
    assert [type(each) for each in found] == [Damaged, Batch]


def test_append_time_stands_for_every_record() -> None:
    records: list[Encoded] = [(5, 10, None, b"a", ()), (6, 11, None, b"b", ())]
    assert [each.timestamp_ms for each in decode(encode(5, 6, records, append_time_ms=99)).records] == [99, 99]


def test_a_compacted_batch_keeps_its_extent() -> None:
    batch = decode(encode(5, 9, [(7, 1, b"k", b"v", ())]))
    assert (batch.header.base_offset, batch.header.last_offset, [each.offset for each in batch.records]) == (5, 9, [7])
    assert decode(encode(5, 9, [])).records == []


def test_the_end_of_a_transaction_is_read() -> None:
    assert [outcome_of(decode(marker(3, (1, 0), commit=commit)).records[0]) for commit in (False, True)] == [0, 1]
    with pytest.raises(ValueError, match="unknown kind"):
        outcome_of(decode(encode(0, 0, [(0, 0, b"\x00\x00\x00\x07", b"", ())])).records[0])


@pytest.mark.parametrize(
    ("bent", "why"),
    [
        (Bent(record() + b"\x00"), "behind the last record"),
        (Bent(record(), records=2, last_delta=1), "beyond its batch"),
        (Bent(record() * 2, records=2, last_delta=1), "offset delta 0 follows 0"),
        (Bent(record(delta=3)), "offset delta 3 follows -1, of 0"),
        (Bent(record(key=b"\x03")), "cannot have the length -2"),
        (Bent(record(headers=b"\x02\x01\x01")), "a header has no key"),
        (Bent(record(headers=b"\x02\x02\xff\x01")), "codec can't decode"),
        (Bent(record(value=b"\x7e")), "a field leaves its batch"),
        (Bent(b"\x7e" + record()[1:]), "length leaves its batch"),
        (Bent(record(headers=b"\x00\x00")), "its fields end at"),
        (Bent(b"\xff" * 12), "more than ten bytes"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_would_stop_a_consumer_is_damage(bent: Bent, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(bent.raw())


@pytest.mark.parametrize("codec", range(1, 5))
def test_unpacking_is_bounded_and_cut_data_are_refused(codec: int) -> None:
    bomb = packed(codec, bytes(1 << 20))
    assert len(unpack(codec, bomb)) == 1 << 20
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        unpack(codec, bomb, 1000)
    with pytest.raises(ValueError, match="damaged"):
        unpack(codec, b"not at all what it should be")
    with pytest.raises(ValueError, match="no codec"):
        unpack(5, b"")


Body = tuple[int, bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]
fields = st.none() | st.binary(max_size=40)
bodies = st.tuples(
    st.integers(0, 1 << 42),
    fields,
    fields,
    st.lists(st.tuples(st.text(max_size=5).map(str.encode), fields), max_size=3),
)


@settings(max_examples=60)
@given(st.lists(bodies, max_size=6), st.integers(0, 4), st.integers(0, 1 << 50))
def test_what_was_written_is_read(contents: list[Body], codec: int, base: int) -> None:
    records = [(base + at, *each) for at, each in enumerate(contents)]
    assert decode(encode(base, base + 9, records, codec=codec)).records == records


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_any_records_give_values_or_a_named_damage(body: bytes) -> None:
    (found,) = read_batches(io.BytesIO(Bent(body, records=3, last_delta=2).raw()))
    assert isinstance(found, Batch | Damaged)
