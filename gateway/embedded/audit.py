"""The embedded log as an `AuditLog`: a table of its own, to which rows are added and of which none is ever changed."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from gateway.embedded.readers import Readers
from gateway.embedded.writer import Writer
from mesh.cluster_errors import AuditMoved

_END = "SELECT coalesce(max(entry_index) + 1, 0) FROM audit"
_PAGE = "SELECT entry FROM audit WHERE entry_index >= ? ORDER BY entry_index LIMIT ?"


class EmbeddedAudit:
    """Implements `mesh.ports.AuditLog`."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def append(self, entries: Sequence[bytes], index: int) -> None:
        added = list(entries)

        def add(db: apsw.Connection) -> None:
            end = db.execute(_END).get
            if end == index:
                db.executemany("INSERT INTO audit VALUES (?, ?)", list(enumerate(added, index)))
            elif [entry for (entry,) in db.execute(_PAGE, (index, len(added)))] != added:
                raise AuditMoved(index, end)

        await self._writer.change(add)

    async def end(self) -> int:
        await self._writer.settled()
        return int(await self._readers.read(lambda db: db.execute(_END).get))

    async def read(self, from_index: int, limit: int) -> list[bytes]:
        return await self._readers.read(lambda db: [entry for (entry,) in db.execute(_PAGE, (from_index, limit))])
