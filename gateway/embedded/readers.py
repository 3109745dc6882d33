"""Reader connections: a few threads that answer queries without disturbing the writer.

Every read is one SQLite transaction, so it sees the log as of one commit. A read that its caller no longer awaits
finishes on its thread and is dropped; none waits for anything but the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import apsw

from gateway.embedded.errors import mapped
from gateway.embedded.schema import open_reader
from mesh.cluster_errors import ClusterUnreachable

READERS = 2
"""One for a long read and one for the others; more would only compete for the interpreter."""

T = TypeVar("T")


class Readers:
    """Raises at construction what opening a file may raise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections = [open_reader(path) for _ in range(READERS)]
        self._idle: SimpleQueue[apsw.Connection] = SimpleQueue()
        for connection in self._connections:
            self._idle.put(connection)
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="embedded-log-reader")
        self._closed = False

    async def read(self, query: Callable[[apsw.Connection], T]) -> T:
        """What `query` answers, run on a reader thread inside one read transaction."""
        if self._closed:
            raise ClusterUnreachable("embedded", "it is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, query)

    def close(self) -> None:
        """Waits for the reads under way, which takes as long as the disk does."""
        self._closed = True
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _run(self, query: Callable[[apsw.Connection], T]) -> T:
        db = self._idle.get()
        try:
            with mapped(self._path, db):
                db.execute("BEGIN")
                try:
                    return query(db)
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
        finally:
            self._idle.put(db)
