"""The tables of the embedded log, and how connections to them are opened.

A partition is one `log`; its id is never used again, so batches of a deleted topic can be removed at leisure
(`doomed`). Batches lie in a rowid table because their bodies are large; the index holds everything a lookup by
offset, time or size asks for, so that no lookup touches a body. State and producers are what one commit keeps in step
with the batches.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import apsw

import gateway.embedded.checksums as checksums
from gateway.embedded.errors import LogDamaged, LogTooNew, mapped
from gateway.embedded.mark import MARK_FILE, read_mark

SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE topics (
    name TEXT PRIMARY KEY, topic_id TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    leader_epoch INTEGER NOT NULL, config TEXT NOT NULL
) WITHOUT ROWID;
-- outlives its topic, so that the next incarnation gets a higher leader epoch
CREATE TABLE incarnations (name TEXT PRIMARY KEY, leader_epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (
    log INTEGER PRIMARY KEY AUTOINCREMENT, topic_id TEXT NOT NULL, number INTEGER NOT NULL,
    log_start INTEGER NOT NULL DEFAULT 0, log_end INTEGER NOT NULL DEFAULT 0, UNIQUE (topic_id, number)
);
CREATE TABLE doomed (log INTEGER PRIMARY KEY);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL, base_offset INTEGER NOT NULL, last_offset INTEGER NOT NULL,
    max_timestamp INTEGER NOT NULL, size INTEGER NOT NULL,
    producer_id INTEGER NOT NULL, base_sequence INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX batch_at ON batches (log, base_offset, last_offset, max_timestamp, size);
CREATE TABLE producers (
    log INTEGER NOT NULL, producer_id INTEGER NOT NULL, epoch INTEGER NOT NULL, recent BLOB NOT NULL,
    PRIMARY KEY (log, producer_id)
) WITHOUT ROWID;
CREATE TABLE state (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""

_AUDIT = """
CREATE TABLE IF NOT EXISTS audit (entry_index INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TRIGGER IF NOT EXISTS audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_not_removed BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""

_POSITIONS = """
CREATE TABLE IF NOT EXISTS positions (
    group_name TEXT NOT NULL, topic_id TEXT NOT NULL, number INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic_id, number)
) WITHOUT ROWID;
"""

CHECKPOINT_PAGES = 2000
"""32 MB of write-ahead log between checkpoints: several commits of 4 MB share one pass over the database file."""
RESTART_PAGES = 16_000
"""At 256 MB the writer waits for the readers under way, who are brief: else readers that follow one another without
a pause would let the write-ahead log grow for ever."""
BUSY_MS = 5000


def open_writer(path: Path) -> apsw.Connection:
    """The writing connection, tables made or checked. Raises LogDamaged, LogTooNew, LogUnusable, DiskFull."""
    with mapped(path):
        checksums.load()
        checksums.check_file(path)
        db = apsw.Connection(str(path), vfs=checksums.VFS)
    try:
        with mapped(path, db):
            # First: after a crash whoever looks at the file restores it, and holds it for a moment.
            db.set_busy_timeout(BUSY_MS)
            checksums.reserve(db)
            db.execute(f"PRAGMA page_size = {checksums.PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            db.execute("PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -8192")
            db.set_wal_hook(_checkpoint)
            _check_mark(db, path)
            _ensure_tables(db, path)
    except BaseException:
        # What is there stays as it is, for examination: no checkpoint of a part of it.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.close()
        raise
    return db


def open_reader(path: Path) -> apsw.Connection:
    with mapped(path):
        checksums.load()
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=checksums.VFS)
        db.set_busy_timeout(BUSY_MS)
        db.execute("PRAGMA query_only = 1; PRAGMA cache_size = -4096")
    return db


def cluster_id(db: apsw.Connection) -> str:
    return str(db.execute("SELECT value FROM meta WHERE key = 'cluster_id'").get)


def commits(db: apsw.Connection) -> int:
    """The transactions that this log holds."""
    return int(db.execute("SELECT value FROM meta WHERE key = 'commits'").get) if _has_tables(db) else 0


def _has_tables(db: apsw.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").get)


def count_commit(db: apsw.Connection, commits: int) -> None:
    db.execute("UPDATE meta SET value = ? WHERE key = 'commits'", (commits,))


def _check_mark(db: apsw.Connection, path: Path) -> None:
    """Raises LogDamaged where transactions are gone that were durable."""
    found, durable = commits(db), read_mark(path.with_name(MARK_FILE))
    if found < durable:
        raise LogDamaged(str(path), f"it holds {found} transactions of {durable} that were durable")


def _checkpoint(db: apsw.Connection, name: str, pages: int) -> int:
    """Called after each commit with the size of the write-ahead log."""
    if pages >= CHECKPOINT_PAGES:
        mode = apsw.SQLITE_CHECKPOINT_RESTART if pages >= RESTART_PAGES else apsw.SQLITE_CHECKPOINT_PASSIVE
        # The commit is durable in the write-ahead log: a disk too full for the checkpoint is no failure of it.
        with suppress(apsw.Error):
            db.wal_checkpoint(name, mode)
    return apsw.SQLITE_OK


def _ensure_tables(db: apsw.Connection, path: Path) -> None:
    with db:
        if not _has_tables(db):
            db.execute(_TABLES)
            entries = {"schema_version": SCHEMA_VERSION, "cluster_id": uuid4().hex, "next_producer_id": 1, "commits": 0}
            db.executemany("INSERT INTO meta VALUES (?, ?)", list(entries.items()))
        db.execute(_AUDIT)
        db.execute(_POSITIONS)
    version = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").get
    if version > SCHEMA_VERSION:
        raise LogTooNew(str(path), version, SCHEMA_VERSION)
