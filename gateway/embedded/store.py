"""The embedded log as a `StateStore`: entries of one kind in a table, written by the same commits as batches.

One process has the log, so there is nobody else who could change it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import apsw

from gateway.embedded.readers import Readers
from gateway.embedded.writer import Put, Writer
from gateway.waking import Waking
from mesh.cluster_errors import StateMoved


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


class EmbeddedControl(EmbeddedStore):
    """Implements `mesh.ports.ControlStore`.

    A version counts the puts that have ended, well or not; a change is refused while one is under way that its maker
    cannot have seen.
    """

    def __init__(self, writer: Writer, readers: Readers, kind: str) -> None:
        super().__init__(writer, readers, kind)
        self.version = 1
        self._begun = 1
        self._touched: dict[str, int] = {}
        self._changed = Waking()

    async def wait_changed(self, version: int) -> int:
        while self.version == version:
            await self._changed.wait()
        return self.version

    async def changes_since(self, version: int) -> tuple[int, dict[str, bytes | None]]:
        seen = self.version  # before it is read: what comes in meanwhile is shown again
        entries: dict[str, bytes | None] = dict(await self.load(""))
        if version < 1:
            return seen, entries
        return seen, {key: entries.get(key) for key, at in self._touched.items() if at > version}

    async def change(self, entries: Mapping[str, bytes | None], version: int) -> int:
        if not entries:
            return version
        if version != self._begun:
            raise StateMoved(self._kind)
        await self.put(entries)
        return version + 1

    async def put(self, entries: Mapping[str, bytes | None]) -> None:
        if not entries:
            return
        self._begun += 1
        made = self._begun
        self._touched |= dict.fromkeys(entries, made)
        done = self._writer.queue(Put(self._kind, dict(entries)))
        done.add_done_callback(lambda _: self._ended(made))
        await asyncio.shield(done)  # a version counts what has ended, also where nobody waits for it any more

    def _ended(self, made: int) -> None:
        self.version = max(self.version, made)
        self._changed.wake()
