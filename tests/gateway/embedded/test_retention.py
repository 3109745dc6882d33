from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from gateway.embedded import retention
from gateway.embedded.cluster import LOG_FILE, EmbeddedCluster
from mesh.cluster_errors import OffsetOutOfRange
from mesh.ids import Partition
from tests.support.batches import NOBODY, stamped

PARTITION = Partition("orders", 0)


async def _fill(log: EmbeddedCluster, config: dict[str, str], times: list[int], size: int = 1000) -> None:
    """A topic with one batch per time."""
    await log.topics.create("orders", 1, config)
    for time in times:
        await log.destination.append(PARTITION, stamped(NOBODY, -1, [b"x" * size], [time]))


async def test_nothing_leaves_a_topic_without_limits(log: EmbeddedCluster) -> None:
    await _fill(log, {}, [1, 2, 3])
    await log.maintain(10**15)
    assert await log.source.range(PARTITION) == (0, 3, 3)


async def test_batches_older_than_the_limit_leave(log: EmbeddedCluster) -> None:
    await _fill(log, {"retention.ms": "100"}, [1000, 1010, 1020, 1030])
    await log.maintain(1110)
    assert await log.source.range(PARTITION) == (1, 4, 4)
    await log.maintain(1121)
    assert await log.source.range(PARTITION) == (3, 4, 4)
    await log.maintain(5000)
    assert await log.source.range(PARTITION) == (4, 4, 4)


async def test_a_young_batch_keeps_the_old_ones_after_it(log: EmbeddedCluster) -> None:
    await _fill(log, {"retention.ms": "100"}, [1000, 5000, 1000])
    await log.maintain(3000)
    assert await log.source.range(PARTITION) == (1, 3, 3)


async def test_at_least_as_many_bytes_as_the_limit_stay(log: EmbeddedCluster) -> None:
    each = stamped(NOBODY, -1, [b"x" * 1000], [1]).size_bytes
    await _fill(log, {"retention.bytes": str(2 * each + 1)}, [1] * 5)
    await log.maintain(0)
    assert await log.source.range(PARTITION) == (2, 5, 5)
    with pytest.raises(OffsetOutOfRange):
        await log.source.fetch(PARTITION, 1, None, 1000, 0)


async def test_retention_works_in_steps_and_appends_pass_between(
    log: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP_BYTES", 3000)
    await _fill(log, {"retention.ms": "0"}, [1] * 20)
    late = stamped(NOBODY, -1, [b"late"], [10**6])
    offset, _ = await asyncio.gather(log.destination.append(PARTITION, late), log.maintain(1000))
    assert offset == 20
    assert await log.source.range(PARTITION) == (20, 21, 21)


async def test_producers_are_remembered_beyond_their_batches(log: EmbeddedCluster) -> None:
    await log.topics.create("orders", 1, {"retention.ms": "0"})
    producer = await log.destination.producer()
    await log.destination.append(PARTITION, stamped(producer, 0, [b"a"], [1]))
    await log.maintain(1000)
    assert (await log.destination.witness(PARTITION, producer, 0)).last_sequence == 0
    assert await log.destination.append(PARTITION, stamped(producer, 1, [b"b"], [1])) == 1


async def test_batches_of_a_deleted_topic_leave_and_their_space_is_used_again(
    log: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP_BYTES", 100_000)
    for _ in range(3):
        await _fill(log, {}, [1] * 20, size=50_000)
        await log.topics.delete("orders")
        await log.maintain(0)
    await log.close()
    db = apsw.Connection(str(tmp_path / "log" / LOG_FILE))
    assert db.execute("SELECT count(*) FROM batches").get == 0
    assert db.execute("PRAGMA page_count").get * 16384 < 2 * 20 * 50_000
    db.close()
