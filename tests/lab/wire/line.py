"""One connection through the proxy: two pumps, each with its weather, that end together.

A pump reads into a bounded buffer, where bytes wait for their latency, and writes from there. RST is made by closing
a socket that lingers for no time.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.lab.wire.weather import LATE_BYTES, Counters, CutPoint, End, Way, Weather, damaged

READ_BYTES = 256 << 10
MOST_UNDER_WAY_BYTES = 32 << 20
"""Of one direction: more than a second's latency holds at the speed of a gateway."""
UNDER_WAY_S = 0.05
_NO_LINGER = struct.pack("ii", 1, 0)


class Ended(Exception):
    """The connection has ended, by a fault or by one of its sides."""


@dataclass
class Sky:
    """What all connections share: the weather of each direction, and a notification of its changes."""

    chance: Random
    weather: dict[Way, Weather] = field(default_factory=lambda: dict.fromkeys(Way, Weather()))
    counters: Counters = field(default_factory=Counters)
    cuts: deque[CutPoint] = field(default_factory=deque)
    """Of the connections to come, one each: the direction and the byte at which it is reset."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, way: Way, weather: Weather) -> None:
        self.weather[way] = weather
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def passable(self, way: Way) -> None:
        while self.weather[way].is_held:
            await self._changed.wait()

    async def connectable(self) -> None:
        """A connection needs both directions to begin."""
        while any(each.is_held or each.is_lost for each in self.weather.values()):
            await self._changed.wait()


@dataclass
class Pump:
    """One direction of one connection, from `reader` to `writer`."""

    way: Way
    reader: socket.socket
    writer: socket.socket
    sky: Sky
    own_cut: int = -1
    taken: int = 0
    passed: int = 0
    last_s: float = -1.0
    waiting_bytes: int = 0
    _waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    _due_s: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def weather(self) -> Weather:
        return self.sky.weather[self.way]

    async def read(self) -> None:
        """Until the end of stream, which is passed on as empty bytes."""
        loop = asyncio.get_running_loop()
        while True:
            await self.sky.passable(self.way)
            while self.waiting_bytes > MOST_UNDER_WAY_BYTES:
                await self._changes()
            data = await loop.sock_recv(self.reader, READ_BYTES)
            weather, counters = self.weather, self.sky.counters
            if weather.is_lost and data:
                counters.bytes_lost[self.way] += len(data)
                continue
            if weather.is_held:
                counters.bytes_held[self.way] += len(data)
            for piece in damaged(data, self.taken, weather, self.sky.chance, counters) if data else [b""]:
                self._put(piece, weather, loop.time())
            self.taken += len(data)
            if not data:
                return

    def _put(self, piece: bytes, weather: Weather, now_s: float) -> None:
        late_s = weather.latency_s + weather.jitter_s * self.sky.chance.random()
        self._due_s = max(self._due_s, now_s + late_s + (0 if piece else weather.close_after_s))
        self._waiting.append((self._due_s, piece))
        self.waiting_bytes += len(piece)
        self.sky.counters.bytes_late += len(piece) if late_s else 0
        self._change()

    async def write(self) -> None:
        """Until the end of stream has been passed on. Raises Ended where a cut is due."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._waiting:
                await self._changes()
            due_s, piece = self._waiting[0]
            if (early_s := due_s - loop.time()) > 0:
                await asyncio.sleep(early_s)
            await self.sky.passable(self.way)
            if not piece:
                self.writer.shutdown(socket.SHUT_WR)
                return
            await self._pass(piece)
            self._waiting.popleft()
            self.waiting_bytes -= len(piece)
            self._change()

    async def _pass(self, piece: bytes) -> None:
        weather, counters = self.weather, self.sky.counters
        loop = asyncio.get_running_loop()
        most = weather.slice_bytes or len(piece)
        if weather.bytes_per_s:
            most = min(most, max(1, int(weather.bytes_per_s / 50)))
        at = 0
        while at < len(piece):
            part = piece[at : at + most]
            if (cut_at := self.cut_at) >= 0:
                part = part[: max(0, cut_at - self.passed)]
            await loop.sock_sendall(self.writer, part)
            at, self.passed, self.last_s = at + len(part), self.passed + len(part), loop.time()
            counters.bytes_passed[self.way] += len(part)
            counters.sliced += most < len(piece)
            if self.is_cut:
                counters.cuts += 1
                counters.cuts_late += self.passed >= LATE_BYTES
                raise Ended
            if weather.bytes_per_s:
                await asyncio.sleep(len(part) / weather.bytes_per_s)

    @property
    def cut_at(self) -> int:
        return self.own_cut if self.own_cut >= 0 else self.weather.cut_at

    @property
    def is_cut(self) -> bool:
        return 0 <= self.cut_at <= self.passed

    async def _changes(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()


@dataclass(eq=False)
class Line:
    """Both directions, from accept to end."""

    client: socket.socket
    server: socket.socket
    sky: Sky

    def __post_init__(self) -> None:
        self._cut = self.sky.cuts.popleft() if self.sky.cuts else None
        way, at = self._cut or (None, -1)
        cuts = {each: at if way in {None, each} else -1 for each in Way}
        self._pumps = (
            Pump(Way.TO_SERVER, self.client, self.server, self.sky, cuts[Way.TO_SERVER]),
            Pump(Way.TO_CLIENT, self.server, self.client, self.sky, cuts[Way.TO_CLIENT]),
        )
        self._task: asyncio.Task[None] | None = None
        self._ends_by = End.CLOSE
        self._forsaken: socket.socket | None = None

    async def run(self) -> None:
        self._task = asyncio.current_task()
        try:
            await self._pump()
        except asyncio.CancelledError:
            if self._forsaken is None:
                raise
            await self._swallow(self._forsaken)
        finally:
            if self._cut and not any(pump.is_cut for pump in self._pumps):
                self.sky.cuts.appendleft(self._cut)  # it ended before its byte: the next one may come so far
            self._finish()

    async def _pump(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for pump in self._pumps:
                    group.create_task(pump.read())
                    group.create_task(pump.write())
        except* OSError:
            self._ends_by = End.RESET
        except* Ended:
            closes = [pump.weather.cut_by for pump in self._pumps if pump.is_cut and pump.own_cut < 0]
            self._ends_by = closes[0] if closes else End.RESET

    @property
    def is_under_way(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        return any(pump.waiting_bytes or now_s - pump.last_s < UNDER_WAY_S for pump in self._pumps if pump.taken)

    def reset(self) -> None:
        """End it by RST to both sides, now."""
        self._forsaken = None
        self.sky.counters.resets += 1
        self.sky.counters.resets_under_way += self.is_under_way
        self._ends_by = End.RESET
        if self._task is not None:
            self._task.cancel()

    def forsake(self, way: Way) -> None:
        """The side to which `way` leads is reset; the other hears nothing of it, and what it writes vanishes."""
        if self._forsaken is not None:
            return
        ended, self._forsaken = (self.server, self.client) if way is Way.TO_SERVER else (self.client, self.server)
        self.sky.counters.half_open += 1
        reset(ended)
        if self._task is not None:
            self._task.cancel()

    async def _swallow(self, left: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while await loop.sock_recv(left, READ_BYTES):
                pass

    def _finish(self) -> None:
        for end in (self.client, self.server):
            reset(end) if self._ends_by is End.RESET else end.close()


def reset(end: socket.socket) -> None:
    """Close it by RST; harmless when it is closed."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    end.close()
