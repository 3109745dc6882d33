"""Opening and closing of an embedded log: a directory becomes a `Cluster`.

The parts are made in order (lock, writer, mark, readers) and go in the opposite order, also when opening fails in the
middle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import gateway.embedded.retention as retention
import gateway.embedded.schema as schema
from gateway.embedded.audit import EmbeddedAudit
from gateway.embedded.changes import Changes
from gateway.embedded.destination import EmbeddedDestination
from gateway.embedded.errors import LogUnusable
from gateway.embedded.groups import EmbeddedGroups
from gateway.embedded.lock import DirectoryLock
from gateway.embedded.mark import MARK_FILE, Mark
from gateway.embedded.readers import Readers
from gateway.embedded.source import EmbeddedSource
from gateway.embedded.store import EmbeddedControl, EmbeddedStore
from gateway.embedded.topics import EmbeddedTopics
from gateway.embedded.writer import Writer
from gateway.sole_owner import SoleOwner
from mesh.ports import Cluster

LOG_FILE = "log.sqlite"


@dataclass(frozen=True, slots=True)
class EmbeddedCluster(Cluster):
    maintain: Callable[[int], Awaitable[None]]
    """Enforce retention as of a time in milliseconds; to be called now and then, say every minute."""


async def open_embedded(directory: Path, *, now_ms: int) -> EmbeddedCluster:
    """The log in `directory`, made if absent; `now_ms` is shown to whoever finds the directory taken.

    Raises DirectoryInUse, LogDamaged, LogTooNew, LogUnusable, DiskFull. Await `close` of the answer at the end.
    """
    path = directory / LOG_FILE
    _make(directory)
    with ExitStack() as undo:
        lock = DirectoryLock(directory, now_ms)
        undo.callback(lock.release)
        db = schema.open_writer(path)
        undo.callback(db.close)
        cluster_id = schema.cluster_id(db)
        mark = Mark(directory / MARK_FILE)
        undo.callback(mark.close)
        readers = Readers(path)
        # Nothing awaits between here and the return, so nothing can be cancelled half made.
        undo.pop_all()
    changes = Changes()
    writer = Writer(db, path, mark, changes.announce)

    async def close() -> None:
        await writer.close()
        changes.announce_all()
        readers.close()
        lock.release()

    async def maintain(now_ms: int) -> None:
        await retention.enforce(writer, readers, now_ms)

    return EmbeddedCluster(
        cluster_id=cluster_id,
        kind="embedded",
        topics=EmbeddedTopics(writer, readers, changes),
        source=EmbeddedSource(readers, changes),
        destination=EmbeddedDestination(writer, readers, path, kind="lanes"),
        control=EmbeddedControl(writer, readers, "control"),
        lanes=EmbeddedStore(writer, readers, "lanes"),
        ownership=SoleOwner(),
        groups=EmbeddedGroups(writer, readers),
        audit=EmbeddedAudit(writer, readers),
        close=close,
        maintain=maintain,
    )


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LogUnusable(str(directory), str(error)) from error
