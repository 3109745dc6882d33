"""Sums by key in SQLite, each record counted exactly once, whenever this program is killed.

The trick is where the position is kept: in the same database as the sums, written in the same transaction. Either both
are there or neither, so the next run reads on exactly behind the last record that was counted. No cursor is needed.
"""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Sequence

from mesh.sdk import Batch
from mesh.sdk.sync import Client

SCHEMA = """
CREATE TABLE IF NOT EXISTS sums (key TEXT PRIMARY KEY, records INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS positions (topic TEXT, number INTEGER, next_offset INTEGER, PRIMARY KEY (topic, number));
"""
ADD = """
INSERT INTO sums VALUES (?, 1, ?)
ON CONFLICT (key) DO UPDATE SET records = records + 1, bytes = bytes + excluded.bytes
"""


def positions(database: sqlite3.Connection, topic: str) -> dict[int, int]:
    """The offset to be read next, of each partition that was read."""
    return dict(database.execute("SELECT number, next_offset FROM positions WHERE topic = ?", (topic,)))


def take(database: sqlite3.Connection, batch: Batch) -> None:
    """Count the records of one partition and store where it stands: all of it, or nothing."""
    with database:
        for record in batch.records:
            database.execute(ADD, ((record.key or b"").decode(), len(record.value or b"")))
        place = (batch.topic, batch.partition, batch.next_offset)
        database.execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", place)


def read(client: Client, database: sqlite3.Connection, topic: str, *, until_end: bool) -> None:
    database.executescript(SCHEMA)
    with client.read(topic, positions=positions(database, topic), until_end=until_end) as reader:
        for batch in reader.batches():
            take(database, batch)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("database")
    parser.add_argument("--until-end", action="store_true", help="end where the topic ends now")
    given = parser.parse_args(arguments)
    database = sqlite3.connect(given.database)
    try:
        with Client() as client:
            read(client, database, given.topic, until_end=given.until_end)
        for key, records, size in database.execute("SELECT * FROM sums ORDER BY key"):
            print(f"{key:20} {records:8} records {size:12} bytes")
    finally:
        database.close()


if __name__ == "__main__":
    main()
