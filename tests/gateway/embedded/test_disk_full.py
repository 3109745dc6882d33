"""A full disk, played by SQLite's own limit of pages: it fails where a full disk does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from gateway.embedded import schema
from gateway.embedded.changes import Changes
from gateway.embedded.destination import EmbeddedDestination
from gateway.embedded.mark import MARK_FILE, Mark
from gateway.embedded.readers import Readers
from gateway.embedded.source import EmbeddedSource
from gateway.embedded.topics import EmbeddedTopics
from gateway.embedded.writer import Writer
from mesh.cluster_errors import DiskFull
from mesh.ids import Partition
from tests.support.batches import numbered, stamped

PARTITION = Partition("orders", 0)


class Small:
    """A log whose number of pages can be limited."""

    def __init__(self, path: Path) -> None:
        changes, readers = Changes(), Readers(path)
        self.writer = Writer(schema.open_writer(path), path, Mark(path.with_name(MARK_FILE)), changes.announce)
        self.destination = EmbeddedDestination(self.writer, readers, path, "lanes")
        self.source = EmbeddedSource(readers, changes)
        self.topics = EmbeddedTopics(self.writer, readers, changes)
        self._readers = readers

    async def limit(self, pages: int) -> None:
        """To as many pages as are in use, and `pages` more."""

        def change(db: apsw.Connection) -> None:
            used = db.execute("PRAGMA page_count").get
            db.execute(f"PRAGMA max_page_count = {used + pages}")

        await self.writer.change(change)

    async def close(self) -> None:
        await self.writer.close()
        self._readers.close()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Small]:
    path = tmp_path / "log.sqlite"
    schema.open_writer(path).close()
    small = Small(path)
    await small.topics.create("orders", 1, {})
    yield small
    await small.close()


async def test_a_full_disk_refuses_appends_serves_reads_and_recovers(small: Small) -> None:
    producer = await small.destination.producer()
    large = [b"x" * 100_000]
    await small.destination.append(PARTITION, stamped(producer, 0, numbered(0)))
    await small.limit(2)
    for _ in range(2):
        with pytest.raises(DiskFull):
            await small.destination.append(PARTITION, stamped(producer, 1, large))
    assert (await small.source.range(PARTITION)).end == 1
    assert (await small.source.fetch(PARTITION, 0, None, 1 << 20, 0)).data
    witnesses = await small.destination.witness(PARTITION, producer, 0)
    assert (witnesses.last_sequence, len(witnesses.own)) == (0, 1)
    await small.limit(1000)
    assert await small.destination.append(PARTITION, stamped(producer, 1, large)) == 1
    assert await small.destination.append(PARTITION, stamped(producer, 0, numbered(0))) == 0


async def test_a_group_that_does_not_fit_is_refused_as_a_whole(small: Small) -> None:
    producer = await small.destination.producer()
    await small.limit(8)
    appends = [small.destination.append(PARTITION, stamped(producer, n, [b"x" * 50_000])) for n in range(8)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    written = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert any(isinstance(outcome, DiskFull) for outcome in outcomes)
    assert outcomes[: len(written)] == list(range(len(written)))
    assert (await small.source.range(PARTITION)).end == len(written)
