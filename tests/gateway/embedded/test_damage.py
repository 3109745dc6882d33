"""Damage on the disk is told when it is read: no byte of the log is believed that does not fit its checksum."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from gateway.embedded.checksums import PAGE_BYTES
from gateway.embedded.cluster import LOG_FILE, EmbeddedCluster, open_embedded
from gateway.embedded.errors import LogDamaged
from gateway.embedded.mark import MARK_FILE, Mark, read_mark
from mesh.ids import Partition
from tests.support.batches import NOBODY, numbered, stamped

PARTITION = Partition("orders", 0)


async def _written(directory: Path, *, batches: int = 3) -> EmbeddedCluster:
    log = await open_embedded(directory, now_ms=0)
    await log.topics.create("orders", 1, {})
    for number in range(batches):
        await log.destination.append(PARTITION, stamped(NOBODY, -1, numbered(number)))
    await log.lanes.put({"lane/position": b"position 41"})
    return log


def _copy(directory: Path, to: Path, *names: str) -> None:
    to.mkdir()
    for name in names:
        (to / name).write_bytes((directory / name).read_bytes())


async def test_a_digit_that_changed_in_a_position_is_not_read(tmp_path: Path) -> None:
    await (await _written(tmp_path)).close()
    data = (tmp_path / LOG_FILE).read_bytes()
    assert data.count(b"position 41") == 1
    (tmp_path / LOG_FILE).write_bytes(data.replace(b"position 41", b"position 43"))
    log = await open_embedded(tmp_path, now_ms=0)
    with pytest.raises(LogDamaged, match="checksum"):
        await log.lanes.load("")
    await log.close()


@pytest.mark.parametrize("size_bytes", [0, 50, PAGE_BYTES, -1, -PAGE_BYTES])
async def test_a_file_that_was_cut_is_not_opened(tmp_path: Path, size_bytes: int) -> None:
    await (await _written(tmp_path)).close()
    data = (tmp_path / LOG_FILE).read_bytes()
    (tmp_path / LOG_FILE).write_bytes(data[:size_bytes])
    with pytest.raises(LogDamaged):
        await open_embedded(tmp_path, now_ms=0)


async def test_a_log_that_was_removed_is_not_begun_anew(tmp_path: Path) -> None:
    await (await _written(tmp_path)).close()
    (tmp_path / LOG_FILE).unlink()
    with pytest.raises(LogDamaged, match="it holds 0 transactions of 5 that were durable"):
        await open_embedded(tmp_path, now_ms=0)
    (tmp_path / MARK_FILE).unlink()
    await (await open_embedded(tmp_path, now_ms=0)).close()


async def test_a_header_without_checksums_is_not_believed(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / LOG_FILE), vfs="unix")
    db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(LogDamaged, match="header"):
        await open_embedded(tmp_path, now_ms=0)


async def test_the_end_of_the_write_ahead_log_is_missed(tmp_path: Path) -> None:
    log = await _written(tmp_path / "log")
    await log.lanes.put({"lane/position": b"position 42"})
    # as a kill leaves it, its last page damaged: SQLite alone would go back by one transaction, without a word
    _copy(tmp_path / "log", tmp_path / "killed", LOG_FILE, f"{LOG_FILE}-wal", MARK_FILE)
    await log.close()
    ahead = tmp_path / "killed" / f"{LOG_FILE}-wal"
    ahead.write_bytes(ahead.read_bytes()[:-1] + b"\xff")
    before = ahead.read_bytes()
    for _ in range(2):
        with pytest.raises(LogDamaged, match="5 transactions of 6"):
            await open_embedded(tmp_path / "killed", now_ms=0)
    assert ahead.read_bytes() == before, "what could be examined is gone"


async def test_a_mark_that_says_nothing_is_no_harm(tmp_path: Path) -> None:
    await (await _written(tmp_path)).close()
    assert read_mark(tmp_path / MARK_FILE) == 5
    for content in (b"", b"mark" * 4, b"x" * 100):
        (tmp_path / MARK_FILE).write_bytes(content)
        assert read_mark(tmp_path / MARK_FILE) == 0
        log = await open_embedded(tmp_path, now_ms=0)
        assert await log.lanes.load("") == {"lane/position": b"position 41"}
        await log.close()


async def test_questions_are_not_counted(tmp_path: Path) -> None:
    log = await _written(tmp_path)
    before = read_mark(tmp_path / MARK_FILE)
    await log.destination.witness(PARTITION, NOBODY, 0)
    await log.audit.end()
    assert read_mark(tmp_path / MARK_FILE) == before
    await log.close()


def test_a_mark_is_replaced_whole(tmp_path: Path) -> None:
    mark = Mark(tmp_path / MARK_FILE)
    for commits in (1, 1 << 40):
        mark.write(commits)
        assert read_mark(tmp_path / MARK_FILE) == commits
    mark.close()
