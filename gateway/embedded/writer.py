"""The writer: one thread that owns the writing connection and commits by load.

Callers queue work from the event loop and get a future; the order of the calls is the order on the log. Whatever is
queued when the thread gets free goes into one transaction, up to `GROUP_BYTES`: a lone append is durable at
once, many share an fsync. No timer is involved.
Invariants:
  A. A future gets its result after the fsync of the transaction that holds its work, and in queue order.
     Only then the mark counts it.
  B. Work that is refused leaves nothing and disturbs no other work of its group; a failure of the disk rolls the whole
     group back and is every member's answer.
  C. The queue holds what its callers hold: each bounds its appends in flight, so bytes are bounded by their credit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

import apsw

import gateway.embedded.schema as schema
from gateway.embedded.errors import mapped
from gateway.embedded.ledger import Ledger
from gateway.embedded.mark import Mark
from gateway.failpoints import Place, reach
from mesh.batch.stamp import StampedBatch
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import Partition
from mesh.ports import StateOf

GROUP_BYTES = 4 * 1024 * 1024
"""Above this a larger commit gains nothing: the fsync is already a small part of its time."""
WORK_BYTES = 512
"""What a queued work counts beside its bytes, so that a group of tiny ones ends too."""

T = TypeVar("T")


class Work(Protocol):
    """Something to do inside a transaction. `run` may refuse with an exception, having written nothing."""

    @property
    def size_bytes(self) -> int: ...

    def run(self, db: apsw.Connection, ledger: Ledger) -> object: ...


@dataclass(frozen=True, slots=True)
class Append:
    """`state` is called on the writer thread: it must only compute."""

    partition: Partition
    batch: StampedBatch
    state: StateOf | None
    kind: str

    @property
    def size_bytes(self) -> int:
        return self.batch.size_bytes

    def run(self, db: apsw.Connection, ledger: Ledger) -> int:
        return ledger.append(self.partition, self.batch, self._entries)

    def _entries(self, base_offset: int) -> Mapping[tuple[str, str], bytes | None]:
        entries = self.state(base_offset) if self.state is not None else {}
        return {(self.kind, key): value for key, value in entries.items()}


@dataclass(frozen=True, slots=True)
class Put:
    kind: str
    entries: Mapping[str, bytes | None]

    @property
    def size_bytes(self) -> int:
        return sum(len(value) for value in self.entries.values() if value is not None)

    def run(self, db: apsw.Connection, ledger: Ledger) -> None:
        ledger.remember({(self.kind, key): value for key, value in self.entries.items()})


@dataclass(frozen=True, slots=True)
class Statement:
    """A change of the tables that the ledger caches: it sees all earlier work, and later work sees it."""

    change: Callable[[apsw.Connection], object]
    size_bytes: int = 0

    def run(self, db: apsw.Connection, ledger: Ledger) -> object:
        ledger.flush()
        with db:
            result = self.change(db)
        ledger.forget()
        return result


@dataclass(frozen=True, slots=True)
class _Answer:
    future: asyncio.Future[Any]
    result: object = None
    error: BaseException | None = None


_Queued = tuple[Work, "asyncio.Future[Any]"]


class Writer:
    """`committed` is called on the event loop after each commit with the partitions that changed. `db` and `mark` are
    closed with it."""

    def __init__(
        self, db: apsw.Connection, path: Path, mark: Mark, committed: Callable[[Collection[Partition]], None]
    ) -> None:
        self._db = db
        self._path = path
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._ledger = Ledger(db, path)
        self._commits = schema.commits(db)
        self._mark = mark
        self._queue: SimpleQueue[_Queued | None] = SimpleQueue()
        self._closing = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        # A daemon, so that a program which dies without closing is not kept alive by its log.
        self._thread = Thread(target=self._work, name="embedded-log-writer", daemon=True)
        self._thread.start()

    def queue(self, work: Work) -> asyncio.Future[Any]:
        """Take a place in the order; the future answers when durable. Fails with ClusterUnreachable when closed."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closing:
            future.set_exception(ClusterUnreachable("embedded", "it is closed"))
        else:
            self._queue.put((work, future))
        return future

    async def change(self, change: Callable[[apsw.Connection], T]) -> T:
        result: T = await self.queue(Statement(change))
        return result

    async def settled(self) -> None:
        """Return when everything queued so far is durable or refused."""
        await self.queue(Statement(lambda db: None))

    async def close(self) -> None:
        """Commit what is queued, then end the thread. May be called again, and after a cancelled call."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await asyncio.shield(self._closed)
        self._thread.join()

    # From here on: the writer thread.

    def _work(self) -> None:
        open_ = True
        while open_:
            group, open_ = self._next_group()
            if group:
                self._report(self._deliver, *self._commit(group))
        self._db.close()
        self._mark.close()
        self._report(self._closed.set_result, None)

    def _report(self, call: Callable[..., object], *arguments: object) -> None:
        # A loop that was closed under us has nobody left to hear the answer.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _next_group(self) -> tuple[list[_Queued], bool]:
        group: list[_Queued] = []
        size_bytes = 0
        queued = self._queue.get()
        while queued is not None:
            group.append(queued)
            size_bytes += queued[0].size_bytes + WORK_BYTES
            if size_bytes >= GROUP_BYTES:
                return group, True
            try:
                queued = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, group: list[_Queued]) -> tuple[list[_Answer], Collection[Partition]]:
        try:
            with mapped(self._path, self._db):
                self._db.execute("BEGIN IMMEDIATE")
                changes = self._db.total_changes()
                answers = [self._settle(work, future) for work, future in group]
                self._ledger.flush()
                commits = self._commits + (self._db.total_changes() != changes)
                self._make_durable(commits)
            return answers, self._ledger.take_grown()
        except Exception as error:  # whatever it was, nobody may wait for ever: it is everyone's answer
            self._roll_back()
            return [_Answer(future, error=error) for _, future in group], ()

    def _make_durable(self, commits: int) -> None:
        if commits != self._commits:
            schema.count_commit(self._db, commits)
        reach(Place.EMBEDDED_COMMIT)
        self._db.execute("COMMIT")
        self._mark.write(commits)
        self._commits = commits
        reach(Place.EMBEDDED_COMMITTED)

    def _settle(self, work: Work, future: asyncio.Future[Any]) -> _Answer:
        try:
            return _Answer(future, work.run(self._db, self._ledger))
        except apsw.Error:
            raise
        except Exception as refusal:
            return _Answer(future, error=refusal)

    def _roll_back(self) -> None:
        self._ledger.forget()
        self._ledger.take_grown()
        # SQLite has already rolled back by itself after some failures, a full disk among them.
        if self._db.in_transaction:
            with suppress(apsw.Error):
                self._db.execute("ROLLBACK")

    # From here on: the event loop again.

    def _deliver(self, answers: list[_Answer], changed: Collection[Partition]) -> None:
        for answer in answers:
            if answer.future.done():
                continue
            if answer.error is not None:
                answer.future.set_exception(answer.error)
            else:
                answer.future.set_result(answer.result)
        if changed:
            self._committed(changed)
