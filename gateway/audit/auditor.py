"""This gateway's writer of the audit log, which all gateways of the organization write: one chain.

Strategy: what is recorded joins a queue at once and is written by whoever comes first, so that entries made together
share a write; the recorder waits until its own is durable. Where another gateway was quicker, what waits is chained
anew behind its entries.

A. An entry that cannot be written is kept and tried again, in order; meanwhile the gateway is not ready and says why.
   What was decided stands: a revocation does not wait for a full disk.
B. What was tried and not answered is tried again as it was, at its index, before anything else: it is in the chain
   once, or its place was taken and it never will be.
C. Values that may be secret have no way in: details are texts and numbers, everything else is refused as a mistake.

What goes wrong here is logged without a traceback (TRY400): it is an expected failure of a disk or a cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from gateway.audit.actor import current_actor
from gateway.audit.changes import change_of
from gateway.audit.head_file import HeadFile
from gateway.audit.refusals import RefusalTally, Refused
from gateway.audit.signer import Signer
from gateway.rpc.identity import Identity
from gateway.waking import Waking
from mesh.audit import HEAD_ACTION, MAX_TEXT, NO_HASH, AuditEntry, SignedHead, entry_hash
from mesh.cluster_errors import AuditMoved
from mesh.errors import MeshError
from mesh.ports import AuditLog
from mesh.shares import Grant, GrantState

log = structlog.get_logger()

HEAD_EVERY = 100
"""Entries between two signed heads."""
HEAD_AFTER_MS = 300_000
"""And the longest time that an entry of a quiet gateway waits for one."""
APPEND_BYTES = 256 << 10
"""Of one append; an entry is far below it, and Kafka takes four times as much."""
TURN_S = 5.0
"""Between two looks at what is due: counts of refusals, grants that ended, entries that could not be written."""
MAX_QUEUED = 10_000
"""Entries that wait for a log that cannot be written; beyond it refusals are dropped, and then the newest entries."""
MOVES = 20
"""How often entries are chained anew in one go because other gateways were quicker; after it they wait for a turn."""
NOTED = 200
"""As many entries at the end of the log are looked at for what another gateway has noted already."""
DONE = "done"


class Auditor:
    """Made by `open`. `run` belongs into the gateway's task group; `close` signs a last head."""

    def __init__(
        self, log_: AuditLog, identity: Callable[[], Identity], now_ms: Callable[[], int], heads: HeadFile | None = None
    ) -> None:
        self._log = log_
        self.signer = Signer(identity, heads)
        self._now_ms = now_ms
        self._queue: deque[AuditEntry] = deque()
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._grown = Waking()
        self._tried: list[bytes] = []
        self._end = 0
        self._last_hash = NO_HASH
        self._since_head = 0
        self._head_ms = now_ms()
        self._failure: MeshError | None = None
        self._watching = 0
        self._dropped = 0
        self._refusals = RefusalTally()
        self._looked_ms = 0

    def __repr__(self) -> str:
        return f"<Auditor {self._end} entries, {len(self._queue)} waiting>"

    @classmethod
    async def open(
        cls, log_: AuditLog, identity: Callable[[], Identity], now_ms: Callable[[], int], heads: HeadFile | None = None
    ) -> Auditor:
        """Goes on where the log ends. Raises what reading the log raises."""
        auditor = cls(log_, identity, now_ms, heads)
        last = await auditor._read_end()
        await auditor.signer.compare(log_, auditor._end)
        auditor._looked_ms = last.time_ms if last else now_ms()
        return auditor

    @property
    def log(self) -> AuditLog:
        """To be read only."""
        return self._log

    @property
    def end(self) -> int:
        """How many entries the log has, as far as we know: what other gateways add is seen later."""
        return self._end

    def trouble(self) -> str:
        """Why the log cannot be written or trusted, empty where all is well: a health check."""
        if self._failure is None:
            return self.signer.doubt
        return f"{len(self._queue)} audit entries are not written: {self._failure}"

    # Recording

    async def record(
        self, action: str, object_: str, outcome: str = DONE, *, actor: str = "", **details: str | int
    ) -> None:
        """Returns when the entry is durable, or when writing it has failed (A)."""
        self._add(self._entry(action, object_, outcome, actor, details))
        await self._flush()

    async def changed(self, before: object | None, after: object | None) -> None:
        """The control state was changed: what `gateway.registry.Registry` calls after each change."""
        change = change_of(before, after)
        await self.record(change.action, change.object, **change.details)

    def refused(self, peer: str, reason: str) -> None:
        """A request of a peer was refused; `peer` is `unverified` where nobody knows who it was."""
        if self._refusals.first(peer, reason, time.monotonic()):
            self._refusal(Refused(peer, reason, 1))
            self._wake.set()

    def _refusal(self, refused: Refused) -> None:
        if len(self._queue) < MAX_QUEUED // 2:
            details: dict[str, str | int] = {"reason": refused.reason, "times": refused.times}
            self._add(self._entry("peer.refused", refused.peer, "refused", f"peer:{refused.peer}", details))

    def _entry(
        self, action: str, object_: str, outcome: str, actor: str, details: Mapping[str, str | int]
    ) -> AuditEntry:
        """Without its place in the chain."""
        for name, value in details.items():
            if not isinstance(value, str | int):
                raise TypeError(f"audit detail {name!r} is a {type(value).__name__}, which may be secret")
        texts = {name: str(value)[:MAX_TEXT] for name, value in details.items()}
        by = actor or current_actor()
        return AuditEntry(0, self._now_ms(), by[:MAX_TEXT], action, str(object_)[:MAX_TEXT], outcome, texts)

    def _add(self, entry: AuditEntry) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._dropped += 1
            log.error("audit entry lost", action=entry.action, object=entry.object, lost=self._dropped)
            return
        self._queue.append(entry)

    # Writing

    async def _flush(self) -> None:
        async with self._lock:
            if not self._queue and not self._head_is_due:
                return
            try:
                await self._write()
            except MeshError as error:
                if self._failure is None:
                    reason, remedy = str(error), error.remedy
                    log.error("audit log cannot be written", code=error.code, reason=reason, remedy=remedy)  # noqa: TRY400
                self._failure = error
            else:
                self._failure = None

    async def _write(self) -> None:
        if self._tried:
            await self._settle()
        while self._queue:
            lines = await self._landed(self._chained)
            for _ in lines:
                self._queue.popleft()
            if self._since_head >= HEAD_EVERY:
                await self._sign()
        if self._head_is_due:
            await self._sign()

    async def _landed(self, chained: Callable[[], list[bytes]]) -> list[bytes]:
        """The lines as they came into the log: made anew for as long as other gateways are quicker."""
        for _ in range(MOVES):
            lines = chained()
            if not lines or await self._append(lines):
                return lines
        raise AuditMoved(self._end, await self._log.end())

    async def _append(self, lines: list[bytes]) -> bool:
        """False where another gateway took their place: they will never come there."""
        self._tried = lines
        try:
            await self._log.append(lines, self._end)
        except AuditMoved:
            self._tried = []
            await self._read_end()
            return False
        self._written(lines)
        return True

    @property
    def _head_is_due(self) -> bool:
        return self._since_head > 0 and self._now_ms() - self._head_ms >= HEAD_AFTER_MS

    def _chained(self) -> list[bytes]:
        """What waits, as far as one append may hold it."""
        lines: list[bytes] = []
        previous, size_bytes = self._last_hash, 0
        for entry in self._queue:
            if size_bytes > APPEND_BYTES:
                break
            lines.append(replace(entry, index=self._end + len(lines), previous=previous).to_bytes())
            previous = entry_hash(lines[-1])
            size_bytes += len(lines[-1])
        return lines

    def _written(self, lines: list[bytes]) -> None:
        self._tried = []
        self._end += len(lines)
        self._since_head += len(lines)
        self._last_hash = entry_hash(lines[-1])
        self._tell()

    def _tell(self) -> None:
        self._grown.wake()

    async def wait_beyond(self, end: int) -> None:
        """Returns when the log has more than `end` entries: at once for ours, after a turn for another gateway's."""
        self._watching += 1
        try:
            while self._end <= end:
                await self._grown.wait()
        finally:
            self._watching -= 1

    async def _look_for_others(self) -> None:
        async with self._lock:
            with suppress(MeshError):  # whoever writes next says so
                if self._watching and not self._tried and await self._log.end() > self._end:
                    await self._read_end()

    async def _settle(self) -> None:
        """What was tried last gets its outcome (B)."""
        tried = self._tried
        if not await self._append(tried):
            return
        if AuditEntry.from_bytes(tried[0]).action == HEAD_ACTION:
            self._since_head = 0
            return
        for _ in tried:
            self._queue.popleft()

    async def _read_end(self) -> AuditEntry | None:
        self._end = await self._log.end()
        last = (await self._log.read(self._end - 1, 1))[0] if self._end else None
        self._last_hash = entry_hash(last) if last is not None else NO_HASH
        self._tell()
        with suppress(ValueError):  # damage is for `mesh audit verify` to show, not a reason to stop recording
            return AuditEntry.from_bytes(last) if last is not None else None
        return None

    # Heads

    async def sign(self) -> SignedHead | None:
        """A head over everything recorded so far, durable; None where nothing was, or our certificate is not valid.

        Raises what writing raises.
        """
        await self._flush()
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            return await self._sign() if self._end else None

    async def _sign(self) -> SignedHead | None:
        signed: list[SignedHead] = []

        def head_line() -> list[bytes]:
            head = self.signer.head(self._end, self._last_hash, self._now_ms())
            signed[:] = [head] if head is not None else []
            return [head.entry().to_bytes()] if head is not None else []

        if not await self._landed(head_line):
            return None
        self._since_head, self._head_ms = 0, self._now_ms()
        self.signer.keep(signed[0])
        return signed[0]

    # Running

    async def run(self, grants: Callable[[], Iterable[Grant]]) -> None:
        """Write what is due until cancelled: refusals, grants that ended, and what could not be written before."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    await self._wake.wait()
            self._wake.clear()
            for refused in self._refusals.due(time.monotonic()):
                self._refusal(refused)
            await self._note_ended(grants())
            await self._flush()
            await self._look_for_others()

    async def _note_ended(self, grants: Iterable[Grant]) -> None:
        """Each grant whose end has come since the last look, that of an earlier run of the gateway included."""
        since_ms, self._looked_ms = self._looked_ms, max(self._looked_ms, self._now_ms())
        ended = {
            grant.id: datetime.fromtimestamp(grant.end_ms / 1000, UTC).isoformat()
            for grant in grants
            if grant.state is GrantState.ACTIVE
            and grant.end_ms is not None
            and since_ms < grant.end_ms <= self._looked_ms
        }
        noted = await self._noted_ends() if ended else set()
        for grant_id, end in ended.items():
            if (grant_id, end) not in noted:
                self._add(self._entry("grant.ended", grant_id, DONE, "gateway", {"end": end}))

    async def _noted_ends(self) -> set[tuple[str, str]]:
        """What other gateways have noted lately: they see the same grants."""
        found: set[tuple[str, str]] = set()
        with suppress(MeshError, ValueError):  # then it is noted twice, which is better than not at all
            end = await self._log.end()
            for line in await self._log.read(max(0, end - NOTED), NOTED):
                entry = AuditEntry.from_bytes(line)
                if entry.action == "grant.ended":
                    found.add((entry.object, entry.details.get("end", "")))
        return found

    async def close(self) -> None:
        """Write what is left and sign a last head; what fails is logged, the gateway stops all the same."""
        for refused in self._refusals.rest():
            self._refusal(refused)
        try:
            await self.sign()
        except MeshError as error:
            log.error("audit log not signed at the end", code=error.code, reason=str(error))  # noqa: TRY400
