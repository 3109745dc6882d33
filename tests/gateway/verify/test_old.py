"""The verifier reads messages of the old formats by itself: as Java wrote them, and as the mirror makes them anew."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.verify.decoder import Record, read_batches, read_records
from gateway.verify.digests import digest, digest_page
from gateway.verify.errors import BatchUnreadable
from mesh.batch.old import split_any
from mesh.ids import Partition
from mesh.log import Fetched, LogRange
from tests.support.golden import JAVA
from tests.support.old_messages import APPEND_MS, OLD_OFFSETS, OLD_RECORDS, OLD_SETS, Key


def read(data: bytes) -> list[Record]:
    return [record for batch in read_batches(memoryview(data)) for record in read_records(batch)]


def expected(key: Key) -> list[Record]:
    magic, _, is_append_time = key
    return [
        (
            offset,
            -1 if magic == 0 else APPEND_MS if is_append_time else record.timestamp_ms,
            record.key,
            record.value,
            (),
        )
        for offset, record in zip(OLD_OFFSETS, OLD_RECORDS, strict=True)
    ]


@pytest.mark.parametrize("key", OLD_SETS, ids=str)
def test_what_java_wrote_is_read_record_for_record_and_as_what_the_mirror_makes_of_it(key: Key) -> None:
    assert read(OLD_SETS[key]) == expected(key)
    assert read(b"".join(bytes(batch) for _, batch in split_any(memoryview(OLD_SETS[key])))) == expected(key)


@pytest.mark.parametrize("key", OLD_SETS, ids=str)
def test_a_cut_last_message_is_left_out_wherever_it_is_cut(key: Key) -> None:
    for size in range(len(OLD_SETS[key])):
        found = read(OLD_SETS[key][:size])
        assert found == expected(key)[: len(found)]
        assert len(found) < len(OLD_RECORDS)


def test_old_and_new_lie_in_one_answer() -> None:
    plain = OLD_SETS[min(OLD_SETS)]
    later = (100).to_bytes(8, "big") + next(iter(JAVA.values()))[8:]
    assert [record[0] for record in read(plain + later)] == [*OLD_OFFSETS, 100, 101, 102]


@pytest.mark.parametrize("key", OLD_SETS, ids=str)
async def test_a_page_of_digests_covers_an_old_segment_and_begins_within_a_packed_set(key: Key) -> None:
    class Old:
        async def fetch(self, *_: object) -> Fetched:
            return Fetched(memoryview(OLD_SETS[key]), (), LogRange(40, 45, 45))

    source: object = Old()
    page = await digest_page(source, Partition("t", 0), 41, 45, 10)  # type: ignore[arg-type]  # fetch is all it calls
    assert (list(page.offsets), page.next_source_offset) == ([41, 44], 45)
    assert list(page.digests) == [digest(record) for record in expected(key)[1:]]


def message(magic: int, attributes: int, value: bytes) -> bytes:
    body = bytes([magic, attributes]) + bytes(8) * magic + b"\xff" * 4 + len(value).to_bytes(4, "big") + value
    framed = zlib.crc32(body).to_bytes(4, "big") + body
    return (7).to_bytes(8, "big") + len(framed).to_bytes(4, "big") + framed


def packed(content: bytes) -> bytes:
    return message(1, 1, zlib.compress(content, wbits=31))


DAMAGED = {
    "a checksum": (message(1, 0, b"x")[:-1] + b"y", "checksum"),
    "a codec": (message(1, 5, b""), "codec 5"),
    "a length": (message(1, 0, b"")[:8] + b"\0\0\0\5" + message(1, 0, b"")[12:], "too small"),
    "a packed set in a packed set": (packed(message(1, 1, b"")), "packed message"),
    "another format inside": (packed(message(0, 0, b"")), "another format"),
    "nothing inside": (packed(b""), "empty"),
    "a cut message inside": (packed(message(1, 0, b"")[:-1]), "within a message|wrong length"),
    "no lz4": (message(0, 3, b"x"), "no beginning"),
    "a set that unpacks to too much": (packed(message(1, 0, bytes(1 << 16))), "more than"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_told(what: str) -> None:
    data, why = DAMAGED[what]
    with pytest.raises(BatchUnreadable, match=why):
        [list(read_records(batch, limit=1 << 15)) for batch in read_batches(memoryview(data))]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(OLD_SETS)), st.binary(max_size=60), st.integers(0, 200))
def test_any_bytes_give_records_or_the_one_error(key: Key, noise: bytes, at: int) -> None:
    data = bytearray(OLD_SETS[key])
    data[at : at + len(noise)] = noise
    with suppress(BatchUnreadable):
        read(bytes(data))
