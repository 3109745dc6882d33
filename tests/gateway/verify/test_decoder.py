"""The verifier's own reader: every codec, every kind of batch, bounded, and independent of the mirror's."""

from __future__ import annotations

import ast
import contextlib
import gzip
from pathlib import Path

import cramjam
import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway.verify
from gateway.verify.codecs import decompress
from gateway.verify.decoder import committed, read_batches, read_records
from gateway.verify.errors import BatchUnreadable
from mesh.batch.records import Record as MeshRecord
from tests.support import records as support
from tests.support.batches import plain_batch

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20


def record(delta: int, key: bytes | None = b"k", value: bytes | None = b"v", time_ms: int = 5) -> MeshRecord:
    return MeshRecord(delta, support.TIMESTAMP_MS + time_ms, key, value, ())


def batch(first: int, count: int = 2, producer: int = -1, attributes: int = 0) -> bytes:
    return support.batch_with_holes(
        [record(delta) for delta in range(count)], base_offset=first, producer_id=producer, attributes=attributes
    )


def marker(offset: int, producer: int, kind: int) -> bytes:
    key = (0).to_bytes(2, "big") + kind.to_bytes(2, "big")
    return support.batch_with_holes(
        [record(0, key, b"\0" * 6)], base_offset=offset, producer_id=producer, attributes=TRANSACTIONAL | CONTROL
    )


@pytest.mark.parametrize("codec", CODECS)
@given(given=support.records)
@settings(max_examples=30, deadline=None)
def test_records_are_read_as_they_were_written(codec: int, given: list[MeshRecord]) -> None:
    numbered = support.numbered(given)
    data = support.batch_with_holes(numbered, codec=codec, base_offset=70)
    (found,) = read_batches(memoryview(data))
    assert list(read_records(found)) == [
        (
            70 + r.offset_delta,
            r.timestamp_ms,
            r.key,
            r.value,
            tuple((name.encode(), value) for name, value in r.headers),
        )
        for r in numbered
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_batches_of_another_producer_are_read(codec: int) -> None:
    values = [b"value-%d" % number for number in range(300)]
    (found,) = read_batches(memoryview(plain_batch(values, codec=codec, base_offset=9)))
    assert [(offset, value) for offset, _, _, value, _ in read_records(found)] == list(enumerate(values, 9))


def test_append_time_is_what_every_record_shows() -> None:
    data = support.batch_with_holes(
        [record(0, time_ms=1), record(1, time_ms=2)], attributes=APPEND_TIME, max_timestamp_ms=77
    )
    (found,) = read_batches(memoryview(data))
    assert [timestamp for _, timestamp, *_ in read_records(found)] == [77, 77]


def test_holes_in_a_batch_keep_their_offsets() -> None:
    data = support.batch_with_holes([record(1), record(4)], base_offset=10, last_offset_delta=6)
    (found,) = read_batches(memoryview(data))
    assert (found.base_offset, found.last_offset) == (10, 16)
    assert [offset for offset, *_ in read_records(found)] == [11, 14]


def test_a_cut_last_batch_is_left_out_at_every_cut() -> None:
    one, two = batch(0), batch(2)
    for cut in range(len(two)):
        assert len(list(read_batches(memoryview(one + two[:cut])))) == 1


def test_any_changed_byte_behind_the_checksum_is_refused() -> None:
    data = batch(0)
    for place in range(16, len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x40
        with pytest.raises(BatchUnreadable):
            list(read_batches(memoryview(damaged)))


@given(st.binary(max_size=200), st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_any_payload_gives_records_or_a_documented_error(payload: bytes, codec: int) -> None:
    blank = bytearray(support.batch_of(b"", 3))
    blank[22] = codec
    (found,) = read_batches(memoryview(support.resealed(bytes(blank) + payload)))
    with contextlib.suppress(BatchUnreadable):
        assert len(list(read_records(found))) == 3


def test_compressed_bombs_stop_at_the_limit() -> None:
    zeros = bytes(1 << 20)
    bombs = {
        1: gzip.compress(zeros),
        2: bytes(cramjam.snappy.compress_raw(zeros)),
        3: lz4.frame.compress(zeros),
        4: zstandard.compress(zeros),
    }
    for codec, bomb in bombs.items():
        assert len(decompress(codec, memoryview(bomb), 1 << 20)) == 1 << 20
        with pytest.raises(ValueError, match="unpack to more than"):
            decompress(codec, memoryview(bomb), 1 << 16)


def visible(*data: bytes, aborted: list[tuple[int, int]] | None = None, last_stable: int = 1 << 40) -> list[int]:
    batches = read_batches(memoryview(b"".join(data)))
    return [found.base_offset for found in committed(batches, aborted or [], last_stable)]


def test_markers_and_aborted_records_are_not_visible_whatever_the_order_of_the_list() -> None:
    log = (
        batch(0, producer=7, attributes=TRANSACTIONAL),
        batch(2, producer=8, attributes=TRANSACTIONAL),
        marker(4, 7, 0),
        batch(5, producer=7, attributes=TRANSACTIONAL),
        marker(7, 7, 1),
        batch(8, producer=8, attributes=TRANSACTIONAL),
        batch(10),
        marker(12, 8, 0),
        batch(13, producer=7, attributes=TRANSACTIONAL),
        marker(15, 7, 0),
        batch(16, producer=8, attributes=TRANSACTIONAL),
        marker(18, 8, 1),
    )
    aborted = [(7, 13), (8, 2), (7, 0)]
    assert visible(*log, aborted=aborted) == [5, 10, 16]
    assert visible(*log, aborted=aborted[::-1]) == [5, 10, 16]


def test_an_idempotent_batch_of_an_aborting_producer_is_visible() -> None:
    log = (batch(0, producer=7), batch(2, producer=7, attributes=TRANSACTIONAL), marker(4, 7, 0))
    assert visible(*log, aborted=[(7, 0)]) == [0]


def test_nothing_at_or_above_the_last_stable_offset_is_visible() -> None:
    assert visible(batch(0), batch(2), batch(4), last_stable=4) == [0, 2]


def test_the_verifier_shares_no_module_with_the_batch_path() -> None:
    forbidden = (
        "mesh.batch",
        "mesh.lanes",
        "mesh.segment",
        "gateway.fast_records",
        "gateway.canonical_records",
        "gateway.importer",
        "gateway.exporter",
    )
    for file in Path(gateway.verify.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            shared = [name for name in names if name.startswith(forbidden)]
            assert not shared, f"{file.name} imports {shared}"
