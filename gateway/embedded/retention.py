"""Retention: whole batches leave at the old end, by age and by size, and the log start moves up.

It works in steps of one transaction each, so that appends pass between them. Batches of deleted topics leave the same
way. The state of producers stays: forgetting one would let a stale sequence in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import apsw

from gateway.embedded.config import Retention
from gateway.embedded.readers import Readers
from gateway.embedded.writer import Writer

STEP_BYTES = 16 * 1024 * 1024
"""How much one transaction removes: some tens of milliseconds of the writer's time."""


class _Cut(NamedTuple):
    """Batches of `log` before `offset` are to go, up to which row, and whether that is all there is to do."""

    log: int
    offset: int
    complete: bool


async def enforce(writer: Writer, readers: Readers, now_ms: int) -> None:
    """Remove what no longer has to be kept at `now_ms`. To be called now and then; cancelling it is harmless."""
    for log, retention in await readers.read(_limited):
        while cut := await readers.read(_next_cut(log, retention, now_ms)):
            await writer.change(_removal(cut))
            if cut.complete:
                break
    for log in await readers.read(_doomed):
        while not await writer.change(_purge(log)):
            pass


def _limited(db: apsw.Connection) -> list[tuple[int, Retention]]:
    rows = db.execute("SELECT log, config FROM partitions JOIN topics USING (topic_id)")
    found = [(log, Retention.of(json.loads(config))) for log, config in rows]
    return [(log, retention) for log, retention in found if retention != Retention(None, None)]


def _next_cut(log: int, retention: Retention, now_ms: int) -> Callable[[apsw.Connection], _Cut | None]:
    def query(db: apsw.Connection) -> _Cut | None:
        kept_bytes = db.execute("SELECT total(size) FROM batches WHERE log = ?", (log,)).get
        offset, removed_bytes = None, 0
        rows = db.execute(
            "SELECT last_offset, max_timestamp, size FROM batches WHERE log = ? ORDER BY base_offset", (log,)
        )
        for last_offset, max_timestamp, size in rows:
            too_old = retention.ms is not None and max_timestamp < now_ms - retention.ms
            too_large = retention.bytes is not None and kept_bytes - size >= retention.bytes
            if not (too_old or too_large):
                break
            if removed_bytes >= STEP_BYTES and offset is not None:
                return _Cut(log, offset, complete=False)
            offset, removed_bytes, kept_bytes = last_offset + 1, removed_bytes + size, kept_bytes - size
        return None if offset is None else _Cut(log, offset, complete=True)

    return query


def _removal(cut: _Cut) -> Callable[[apsw.Connection], None]:
    def remove(db: apsw.Connection) -> None:
        db.execute("DELETE FROM batches WHERE log = ? AND base_offset < ?", (cut.log, cut.offset))
        db.execute("UPDATE partitions SET log_start = max(log_start, ?) WHERE log = ?", (cut.offset, cut.log))

    return remove


def _doomed(db: apsw.Connection) -> list[int]:
    return [log for (log,) in db.execute("SELECT log FROM doomed")]


def _purge(log: int) -> Callable[[apsw.Connection], bool]:
    """Remove a step's worth of a deleted topic's partition; answers whether nothing of it is left."""

    def purge(db: apsw.Connection) -> bool:
        removed_bytes = 0
        rows = db.execute("SELECT base_offset, size FROM batches WHERE log = ? ORDER BY base_offset", (log,))
        for base_offset, size in rows:
            removed_bytes += size
            if removed_bytes >= STEP_BYTES:
                rows.close()
                db.execute("DELETE FROM batches WHERE log = ? AND base_offset <= ?", (log, base_offset))
                return False
        for table in ("batches", "producers", "doomed"):
            db.execute(f"DELETE FROM {table} WHERE log = ?", (log,))
        return True

    return purge
