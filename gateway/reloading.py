"""The configuration of a running gateway: read again at SIGHUP, where its file changes, and when an operator asks.

Strategy: `config_reload` says what is taken; whoever holds a value that can change says so by `on_change`. A file is
read once it has stayed the same for a moment: an editor that writes in two steps is not taken at its first one.

A. A configuration that is not valid changes nothing: the one before stays in force, and the reason is shown until the
   file is right again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway import config_reload
from gateway.config import GatewayConfig
from mesh.errors import MeshError

log = structlog.get_logger()

WATCH_S = 1.0
"""Between looks at the file; one that has changed is read at the second look that finds it the same."""
REFUSED = "configuration refused, the one before stays in force"
Mark = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of one reading: keys that are in force from now on, and keys that wait for a restart."""

    applied: tuple[str, ...]
    restart: tuple[str, ...]


@dataclass(eq=False)
class LiveConfig:
    """`in_force` is what runs. `run` belongs into the gateway's task group."""

    in_force: GatewayConfig
    read: Callable[[], GatewayConfig] | None = None
    """Reads file and environment again; None: nothing is read again."""
    record: Callable[..., Awaitable[object]] | None = None
    """Of the audit log."""
    fault: str = ""
    """Why what the file says is not in force."""
    restart: tuple[str, ...] = ()
    """Keys whose values wait for a restart."""
    _listeners: list[Callable[[GatewayConfig], None]] = field(default_factory=list)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._seen = mark_of(self.in_force.path)

    def __repr__(self) -> str:
        return f"<LiveConfig {self.fault or 'in force'}, {len(self.restart)} wait for a restart>"

    def on_change(self, listener: Callable[[GatewayConfig], None]) -> None:
        """Call `listener` with what is in force after each change."""
        self._listeners.append(listener)

    def ask(self) -> None:
        """Read again soon: what a signal handler calls."""
        self._asked.set()

    def trouble(self) -> str:
        """What an operator should know, empty where all of the file is in force."""
        if self.fault:
            return f"the file is refused, the configuration before is in force: {self.fault}"
        return f"{', '.join(self.restart)} in the file waits for a restart" if self.restart else ""

    async def reload(self) -> Reloaded:
        """Read again and take what can be taken. Raises what `load_config` raises, and then nothing has changed (A)."""
        if self.read is None:
            return Reloaded((), ())
        async with self._lock:
            return await self._reload(self.read)

    async def _reload(self, read: Callable[[], GatewayConfig]) -> Reloaded:
        try:
            found = await asyncio.to_thread(read)
        except MeshError as error:
            self.fault = str(error)
            raise
        self.fault = ""
        applied = tuple(key for key in config_reload.differing(self.in_force, found) if key in config_reload.LIVE)
        self.in_force = config_reload.taken(self.in_force, found)
        waiting = tuple(config_reload.differing(self.in_force, found))
        before, self.restart = self.restart, waiting  # with what is in force: whoever asks meanwhile sees both
        if applied:
            for listener in self._listeners:
                listener(self.in_force)
        await self._tell(applied, waiting, before)
        return Reloaded(applied, waiting)

    async def _tell(self, applied: tuple[str, ...], waiting: tuple[str, ...], before: tuple[str, ...]) -> None:
        if applied or waiting != before:
            log.info("configuration read again", applied=list(applied), restart=list(waiting))
        if waiting and waiting != before:
            log.warning("keys of the configuration wait for a restart", keys=list(waiting))
        if applied and self.record is not None:
            values = {key: str(self.in_force.origins[key].value)[:200] for key in applied}
            await self.record("config.changed", str(self.in_force.gateway_id), **values)

    async def run(self) -> None:
        """Read again whenever the file changes or somebody asks, until cancelled."""
        read = seen = self._seen
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._asked.wait()
            found = await asyncio.to_thread(mark_of, self.in_force.path)
            if not self._asked.is_set() and (found == read or found != seen):
                seen = found
                continue
            self._asked.clear()
            read = seen = found
            try:
                await self.reload()
            except MeshError as error:
                log.warning(REFUSED, code=error.code, reason=str(error), remedy=error.remedy)


def mark_of(path: Path | None) -> Mark:
    """Tells one content of a file from another; None where it cannot be seen."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None


class HangUp:
    """SIGHUP calls `ask` while inside."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask

    def __enter__(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._ask)

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
