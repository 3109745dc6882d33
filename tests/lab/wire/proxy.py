"""A TCP proxy between two processes that does to their bytes what a network can do, told by synchronous code.

It runs in a thread with a loop of its own. What it is told takes effect at once, for connections that are open too, and
the call returns when it has. Without being told anything it passes bytes on.

    with Proxy(upstream, seed=7) as proxy:          # dial proxy.address instead of upstream
        proxy.weather(latency_s=0.1)                # both directions; `way=Way.TO_CLIENT` one of them
        proxy.reset()                               # RST to everybody who is connected
        proxy.calm()
        proxy.counters().resets_under_way
"""

from __future__ import annotations

import asyncio
import copy
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.lab.wire.line import Line, Sky, reset
from tests.lab.wire.weather import CALM, Counters, CutPoint, Way, Weather
from tests.support.ports import free_ports

BACKLOG = 128
CALL_S = 10.0
CONNECT_S = 10.0

_ESTABLISHED = 1
"""The first byte of Linux's tcp_info."""

Answer = TypeVar("Answer")


class Proxy:
    """Listens from construction to `close`, on `address`. `upstream` may not listen yet."""

    def __init__(self, upstream: str, seed: int = 0, port: int = 0) -> None:
        host, _, number = upstream.rpartition(":")
        self._upstream = (host, int(number))
        self._sky = Sky(Random(seed))
        self._lines: set[Line] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._is_refusing = False
        self.port = port or free_ports(1)[0]
        self._loop = asyncio.new_event_loop()
        self._accepting: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"proxy of {upstream}", daemon=True)
        self._thread.start()
        self._call(self._listen)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __repr__(self) -> str:
        return f"<Proxy {self.address} to {self._upstream[0]}:{self._upstream[1]}, {len(self._lines)} connections>"

    # --- telling it

    def weather(self, way: Way | None = None, **changed: Any) -> None:
        """Set fields of `Weather`; the others stay as they are. None: both directions."""
        self._call(lambda: self._set({each: replace(self._sky.weather[each], **changed) for each in _ways(way)}))

    def calm(self, way: Way | None = None) -> None:
        """As at the start; what is held goes on."""
        self._call(lambda: self._set(dict.fromkeys(_ways(way), CALM)))

    def cut_each(self, cuts: Iterable[CutPoint]) -> None:
        """The connections to come are reset, each at the next of these bytes; what was left over is forgotten."""
        self._call(lambda: self._cut_each(cuts))

    def cuts_left(self) -> int:
        return self._call(lambda: len(self._sky.cuts))

    def reset(self) -> int:
        """RST to all who are connected; how many connections that were."""
        return self._call(self._reset)

    def forsake(self, way: Way) -> None:
        """Half-open: the side to which `way` leads is reset, the other is told nothing and writes into nothing."""
        self._call(lambda: self._forsake(way))

    def refuse(self) -> None:
        """Nobody is listened to any more; who is connected stays."""
        self._call(self._unlisten)

    def admit(self) -> None:
        self._call(self._listen)

    def counters(self) -> Counters:
        """A copy, of this moment."""
        return self._call(lambda: copy.deepcopy(self._sky.counters))

    def open_connections(self) -> int:
        return self._call(lambda: len(self._lines))

    def close(self) -> None:
        """End all connections and the thread; harmless when done twice."""
        if self._thread.is_alive():
            self._call(self._unlisten)
            self._call(self._reset)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, what: Callable[[], Answer]) -> Answer:
        async def called() -> Answer:
            return what()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(CALL_S)

    # --- in the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.close()

    def _listen(self) -> None:
        if self._listener is not None:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(BACKLOG)
        self._listener = listener
        self._accepting = self._loop.create_task(self._accept(listener))

    def _unlisten(self) -> None:
        if self._accepting is not None and self._listener is not None:
            self._accepting.cancel()
            self._listener.close()
        self._accepting = self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            client.setblocking(False)
            task = self._loop.create_task(self._serve(client))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, client: socket.socket) -> None:
        await self._sky.connectable()
        if _has_left(client):  # its attempt would not have come through
            client.close()
            return
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._loop.sock_connect(server, self._upstream)
        except (OSError, TimeoutError):
            # whoever dials us learns what it would have learnt of the one behind us
            self._sky.counters.refused += 1
            server.close()
            reset(client)
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sky.counters.connections += 1
        line = Line(client, server, self._sky)
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)

    def _set(self, weather: Mapping[Way, Weather]) -> None:
        for way, each in weather.items():
            self._sky.set(way, each)

    def _cut_each(self, cuts: Iterable[CutPoint]) -> None:
        self._sky.cuts.clear()
        self._sky.cuts.extend(cuts)

    def _forsake(self, way: Way) -> None:
        for line in self._lines:
            line.forsake(way)

    def _reset(self) -> int:
        lines = list(self._lines)
        for line in lines:
            line.reset()
        return len(lines)


def _ways(way: Way | None) -> tuple[Way, ...]:
    return tuple(Way) if way is None else (way,)


def _has_left(client: socket.socket) -> bool:
    """Whether the other end has closed, also with bytes unread."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED
