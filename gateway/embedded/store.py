"""The embedded log as a `StateStore`: entries of one kind in a table, written by the same commits as batches."""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from gateway.embedded.readers import Readers
from gateway.embedded.writer import Put, Writer


class EmbeddedStore:
    """Implements `mesh.ports.StateStore`."""

    def __init__(self, writer: Writer, readers: Readers, kind: str) -> None:
        self._writer = writer
        self._readers = readers
        self._kind = kind

    async def load(self, prefix: str) -> dict[str, bytes]:
        def query(db: apsw.Connection) -> dict[str, bytes]:
            found = {}
            # Keys are ordered by their bytes, so those with the prefix are neighbours.
            rows = db.execute("SELECT key, value FROM state WHERE kind = ? AND key >= ? ORDER BY key", (kind, prefix))
            for key, value in rows:
                if not key.startswith(prefix):
                    break
                found[key] = value
            return found

        kind = self._kind
        return await self._readers.read(query)

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        await self._writer.queue(Put(self._kind, dict(entries)))
