"""Every kind of record that a source may hold, through the whole lane, into each destination that needs no broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.embedded.cluster import open_embedded
from gateway.offers import offered_settings, taken_settings
from mesh.batch.header import CONTROL_BIT, TRANSACTIONAL_BIT, Codec
from mesh.batch.records import Record
from mesh.ports import Cluster
from mesh.shares import StartAt
from tests.support.mirror import DESTINATION, TO, Mirror, destination, mirroring, records_of_partition, source_of
from tests.support.records import TIMESTAMP_MS, batch_with_holes
from tests.support.source_log import ABORT, COMMIT, SourceLog

MIB = 1 << 20
HUGE = 3 * MIB
SETTINGS = taken_settings(offered_settings({"max.message.bytes": str(4 * MIB), "cleanup.policy": "delete"}))


@dataclass
class Kinds(SourceLog):
    def put(self, *records: Record, codec: int = 0, producer_id: int = -1) -> None:
        """These very records, as one dense batch."""
        base, placed = self.end, [record._replace(offset_delta=at) for at, record in enumerate(records)]
        data = batch_with_holes(
            placed,
            codec=codec,
            attributes=TRANSACTIONAL_BIT if producer_id >= 0 else 0,
            base_offset=base,
            max_timestamp_ms=max(record.timestamp_ms for record in records),
            producer_id=producer_id,
        )
        self.visible.update((base + at, record) for at, record in enumerate(placed))
        if producer_id >= 0:
            self._open.setdefault(producer_id, base)
            self._extents.append((producer_id, base, base + len(records)))
        self._store(len(records), data, True)


def record(
    key: bytes | None, value: bytes | None, stamp: int = TIMESTAMP_MS, *headers: tuple[str, bytes | None]
) -> Record:
    return Record(0, stamp, key, value, headers)


def odd_records() -> list[Record]:
    return [
        record(None, None),
        record(b"", b""),
        record(b"", None),
        record(None, b""),
        record(b"tombstone", None),
        record(b"h", b"v", TIMESTAMP_MS, ("a", b"1"), ("b", None), ("a", b"1"), ("a", b""), ("", b"no name")),
        record(b"t", b"zero", 0),
        record(b"t", b"none", -1),
        record(b"t", b"negative", -5),
        record(b"t", b"earliest", -(1 << 62)),
        record(b"t", b"far in the future", 1 << 61),
        record(b"\xff\x00", bytes(range(256))),
    ]


def every_kind() -> Kinds:
    log = Kinds()
    for codec in Codec:
        log.put(*odd_records(), codec=codec)
    for each in odd_records():
        log.put(each)
    log.put(record(b"huge", b"x" * HUGE))
    log.put(record(b"huge", bytes(range(256)) * (HUGE // 256)), codec=Codec.GZIP)
    log.empty()
    log.empty(CONTROL_BIT | TRANSACTIONAL_BIT)
    log.empty(codec=Codec.ZSTD)
    log.append([1, 4, 7], 9, codec=Codec.LZ4)
    log.append([0, 1], 2, append_time=True, codec=Codec.SNAPPY)
    log.skip(5)
    for _ in range(2):  # several producers interleaved
        for producer in (1, 2, 3):
            log.put(*odd_records()[:3], producer_id=producer, codec=producer)
    log.mark(2, ABORT)
    log.mark(1, COMMIT)
    log.put(record(b"between", b"v"))
    log.mark(3, ABORT)
    log.append([0, 2], 5, producer_id=4)
    log.mark(4, COMMIT)
    return log


def hanging() -> Kinds:
    log = every_kind()
    log.put(record(b"held", b"back"), producer_id=9)
    log.put(record(b"behind", b"it"))
    return log


@asynccontextmanager
async def opened(kind: str, path: Path, settings: dict[str, str] | None = None) -> AsyncIterator[Cluster]:
    cluster = (
        await open_embedded(path, now_ms=0)
        if kind == "embedded"
        else (await destination(joins_state=kind == "joined")).ports
    )
    try:
        if kind != "embedded":
            await cluster.topics.delete(DESTINATION)
        await cluster.topics.create(DESTINATION, 1, SETTINGS | (settings or {}))
        yield cluster
    finally:
        await cluster.close()


DESTINATIONS = pytest.mark.parametrize("kind", ["embedded", "joined", "separate"])


@DESTINATIONS
@pytest.mark.parametrize("log", [every_kind(), hanging()], ids=["all", "hanging"])
async def test_every_kind_of_record_arrives_as_it_was(kind: str, log: Kinds, tmp_path: Path) -> None:
    async with opened(kind, tmp_path) as cluster:
        mirror = Mirror(await source_of(log), cluster, log=log)
        async with mirroring(mirror):
            await mirror.until_copied()
        await mirror.check(log)


@DESTINATIONS
async def test_a_lane_may_begin_within_open_and_aborted_transactions(kind: str, tmp_path: Path) -> None:
    """Those begun before the first fetched offset are known from the answer alone."""
    log = every_kind()
    transactions = [batch.base_offset for batch in log.batches][-10:]
    for number, first in enumerate(transactions):
        async with opened(kind, tmp_path / str(number)) as cluster:
            mirror = Mirror(await source_of(log), cluster, log=log, start=StartAt("offset", first + 1))
            async with mirroring(mirror):
                await mirror.until_copied()
            copied = [held[1:] for _, held in await records_of_partition(cluster, TO)]
            assert copied == [held[1:] for offset, held in sorted(log.visible.items()) if offset > first]


async def test_a_compacted_source_is_kept_whole_by_the_embedded_log(tmp_path: Path) -> None:
    log = Kinds()
    log.append([0, 3, 4], 6)
    log.put(record(b"a", b"1"), record(b"a", b"2"), record(b"a", None))
    settings = taken_settings(offered_settings({"cleanup.policy": "compact", "retention.ms": "1"}))
    async with opened("embedded", tmp_path, settings) as cluster:
        mirror = Mirror(await source_of(log), cluster, log=log)
        async with mirroring(mirror):
            await mirror.until_copied()
        await mirror.check(log)


REFUSED = {
    "a null key": ({"cleanup.policy": "compact"}, [record(None, b"v")], "has no key"),
    "a batch too large": ({"max.message.bytes": "1000"}, [record(b"k", b"v" * 2000)], "max.message.bytes"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("kind", ["joined", "separate"])
async def test_what_the_destination_refuses_stops_the_lane_before_it(what: str, kind: str, tmp_path: Path) -> None:
    settings, records, why = REFUSED[what]
    log = Kinds()
    log.put(record(b"k", b"before"))
    log.put(*records)
    log.put(record(b"k", b"after"))
    async with opened(kind, tmp_path, settings) as cluster:
        mirror = Mirror(await source_of(log), cluster, log=log)
        async with mirroring(mirror):
            status = await mirror.until_stopped()
        assert status.code == "batch-refused"
        assert why in status.reason
        assert [held.value for _, held in await records_of_partition(cluster, TO)] == [b"before"]
