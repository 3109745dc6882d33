from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Timer

import apsw
import pytest

from gateway.embedded import schema
from gateway.embedded.cluster import LOG_FILE, EmbeddedCluster
from mesh.ids import Partition
from tests.support.batches import NOBODY, stamped

PAGE_BYTES = 16384


async def test_readers_without_a_pause_do_not_let_the_write_ahead_log_grow(
    log: EmbeddedCluster, partition: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(schema, "RESTART_PAGES", 60)

    async def read() -> None:
        while not writing.done():
            await log.source.fetch(partition, 0, None, 1 << 20, 1)

    async def write() -> None:
        for _ in range(80):
            await log.destination.append(partition, stamped(NOBODY, -1, [b"x" * 50_000]))

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        for _ in range(3):
            group.create_task(read())
    written_pages = 80 * 50_000 // PAGE_BYTES
    assert (tmp_path / "log" / f"{LOG_FILE}-wal").stat().st_size < written_pages // 2 * PAGE_BYTES


def test_a_log_has_large_pages_and_syncs_each_commit(tmp_path: Path) -> None:
    db = schema.open_writer(tmp_path / LOG_FILE)
    assert [db.execute(f"PRAGMA {name}").get for name in ("page_size", "journal_mode", "synchronous")] == [
        PAGE_BYTES,
        "wal",
        2,
    ]
    db.close()


def test_a_log_that_somebody_else_has_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """As after a crash: the first who looks at the file restores it, be it a backup, and locks others out meanwhile."""
    path = tmp_path / LOG_FILE
    schema.open_writer(path).close()
    other = apsw.Connection(str(path))
    assert other.execute("PRAGMA journal_mode = DELETE").get == "delete"
    other.execute("BEGIN EXCLUSIVE")
    leaving = Timer(0.1, other.close)
    leaving.start()
    schema.open_writer(path).close()
    leaving.join()
