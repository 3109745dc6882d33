from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import apsw
import pytest

from gateway.embedded.cluster import LOG_FILE, EmbeddedCluster, open_embedded
from gateway.embedded.errors import DirectoryInUse, LogDamaged, LogTooNew, LogUnusable, TopicConfigRefused
from gateway.embedded.mark import MARK_FILE
from mesh.batch.header import split
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import Partition
from tests.support.batches import NOBODY, numbered, records_in, stamped

MIB = 1 << 20


async def _values(log: EmbeddedCluster, partition: Partition) -> list[bytes]:
    fetched = await log.source.fetch(partition, 0, None, MIB, 0)
    return [value for _, value in records_in(fetched.data)]


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    log = await open_embedded(tmp_path, now_ms=0)
    topic = await log.topics.create("orders", 2, {"retention.ms": "5"})
    partition, producer = Partition("orders", 1), await log.destination.producer()
    for sequence in (0, 2):
        await log.destination.append(
            partition, stamped(producer, sequence, numbered(sequence, sequence + 1)), lambda at: {"lane/a": b"%d" % at}
        )
    await log.control.put({"share/a": b"1"})
    await log.close()

    again = await open_embedded(tmp_path, now_ms=0)
    assert again.cluster_id == log.cluster_id
    assert await again.topics.list() == [topic]
    assert await _values(again, partition) == numbered(0, 1, 2, 3)
    assert (await again.lanes.load(""), await again.control.load("")) == ({"lane/a": b"2"}, {"share/a": b"1"})
    assert await again.destination.append(partition, stamped(producer, 2, numbered(2, 3))) == 2
    assert await again.destination.append(partition, stamped(producer, 4, numbered(4))) == 4
    assert (await again.destination.producer()).id > producer.id
    await again.close()


async def test_one_process_writes_a_directory(tmp_path: Path) -> None:
    log = await open_embedded(tmp_path, now_ms=0)
    with pytest.raises(DirectoryInUse):
        await open_embedded(tmp_path, now_ms=0)
    await log.close()
    await (await open_embedded(tmp_path, now_ms=0)).close()


async def test_close_commits_what_is_queued_and_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    log = await open_embedded(tmp_path, now_ms=0)
    await log.topics.create("orders", 1, {})
    partition = Partition("orders", 0)
    appends = [log.destination.append(partition, stamped(NOBODY, -1, numbered(n))) for n in range(5)]
    await log.close()
    assert await asyncio.gather(*appends) == [0, 1, 2, 3, 4]
    assert threading.active_count() == before
    assert sorted(os.listdir(tmp_path)) == ["lock", MARK_FILE, LOG_FILE]


async def test_a_closed_log_says_so_and_may_be_closed_again(tmp_path: Path) -> None:
    log = await open_embedded(tmp_path, now_ms=0)
    await log.topics.create("orders", 1, {})
    waiting = asyncio.create_task(log.source.fetch(Partition("orders", 0), 0, None, MIB, 30))
    await asyncio.sleep(0)
    await log.close()
    await log.close()
    for call in (
        waiting,
        log.control.put({"a/b": b""}),
        log.control.load(""),
        log.destination.append(Partition("orders", 0), stamped(NOBODY, -1, numbered(1))),
    ):
        with pytest.raises(ClusterUnreachable):
            await call


async def test_a_cancelled_append_keeps_its_place(log: EmbeddedCluster, partition: Partition) -> None:
    appends = [
        asyncio.ensure_future(log.destination.append(partition, stamped(NOBODY, -1, [b"%d" % n]))) for n in range(3)
    ]
    appends[1].cancel()
    assert await appends[0] == 0
    assert await appends[2] == 2
    assert await _values(log, partition) == [b"0", b"1", b"2"]


async def test_a_witness_sees_what_was_queued_before_it(log: EmbeddedCluster, partition: Partition) -> None:
    producer = await log.destination.producer()
    appends = [log.destination.append(partition, stamped(producer, n, numbered(n))) for n in range(20)]
    assert (await log.destination.witness(partition, producer, 0)).last_sequence == 19
    assert await asyncio.gather(*appends) == list(range(20))


async def test_a_failing_state_function_fails_its_own_append_only(log: EmbeddedCluster, partition: Partition) -> None:
    def broken(offset: int) -> dict[str, bytes | None]:
        raise LookupError(offset)

    producer = await log.destination.producer()
    bad = log.destination.append(partition, stamped(producer, 0, numbered(0)), broken)
    good = log.destination.append(partition, stamped(NOBODY, -1, numbered(1)))
    with pytest.raises(LookupError):
        await bad
    assert await good == 0
    assert await _values(log, partition) == numbered(1)


async def test_the_leader_epoch_rises_with_each_incarnation(log: EmbeddedCluster) -> None:
    partition, epochs = Partition("orders", 0), []
    for _ in range(3):
        await log.topics.create("orders", 1, {})
        await log.destination.append(partition, stamped(NOBODY, -1, numbered(1)))
        fetched = await log.source.fetch(partition, 0, None, MIB, 0)
        assert [header.leader_epoch for header, _ in split(fetched.data)] == [fetched.leader_epoch]
        epochs.append(fetched.leader_epoch)
        await log.topics.delete("orders")
    assert epochs == [0, 1, 2]


async def test_an_unknown_setting_or_a_silly_partition_count_is_refused(log: EmbeddedCluster) -> None:
    with pytest.raises(TopicConfigRefused, match=r"retention\.ms"):
        await log.topics.create("orders", 1, {"retention.m": "1"})
    for partitions in (0, -1, 1_000_000):
        with pytest.raises(TopicConfigRefused, match="partitions"):
            await log.topics.create("orders", partitions, {})
    assert await log.topics.list() == []


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    await (await open_embedded(tmp_path, now_ms=0)).close()
    db = apsw.Connection(str(tmp_path / LOG_FILE))
    db.execute("UPDATE meta SET value = 99 WHERE key = 'schema_version'")
    db.close()
    with pytest.raises(LogTooNew, match="format 99"):
        await open_embedded(tmp_path, now_ms=0)


async def test_a_file_that_is_no_log_is_refused_and_the_directory_left_free(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_bytes(b"no database at all" * 2000)
    for _ in range(2):
        with pytest.raises(LogDamaged):
            await open_embedded(tmp_path, now_ms=0)


async def test_damage_is_reported_by_what_reads_it(tmp_path: Path) -> None:
    log = await open_embedded(tmp_path, now_ms=0)
    await log.topics.create("orders", 1, {})
    for _ in range(20):
        await log.destination.append(Partition("orders", 0), stamped(NOBODY, -1, [b"x" * 20_000]))
    await log.close()
    with (tmp_path / LOG_FILE).open("r+b") as file:
        # All pages but the first, which holds the header and the schema.
        file.seek(16384)
        file.write(b"\xff" * ((tmp_path / LOG_FILE).stat().st_size - 16384))
    with pytest.raises(LogDamaged):
        await open_embedded(tmp_path, now_ms=0)


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LogUnusable, match="file"):
        await open_embedded(tmp_path / "file" / "log", now_ms=0)
