"""A relay before a broker that counts what a gateway asks of it: requests by kind, and the bytes of the answers.

    python -m bench.fetch_tap PORT=UPSTREAM

A line on its input asks for the counts so far, which it answers as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.asked import Asked

FETCH = 1
"""The api key of Kafka's fetch."""
READ_BYTES = 256 << 10
_HEAD = struct.Struct(">ih")
"""What every request begins with: its size, which does not count itself, and its api key."""


@dataclass
class Requests:
    """Counts the requests of one connection by their api key, however their bytes are cut."""

    counts: Counter[int]
    _head: bytearray = field(default_factory=bytearray)
    _skip: int = 0
    """Bytes until the next request."""

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            step = min(_HEAD.size - len(self._head), len(data) - at)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == _HEAD.size:
                size, key = _HEAD.unpack(self._head)
                self.counts[key] += 1
                self._skip, self._head = size - 2, bytearray()


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the start of the relay."""

    fetches: int
    answered_bytes: int

    def since(self, before: Counts) -> Counts:
        return Counts(self.fetches - before.fetches, self.answered_bytes - before.answered_bytes)


class Tap(Asked):
    """The relay as a process; listens on `port` from construction on."""

    def __init__(self, port: int, upstream: str) -> None:
        super().__init__("bench.fetch_tap", f"{port}={upstream}")
        self.counts()

    def counts(self) -> Counts:
        return Counts(**json.loads(self.say("")))


@dataclass
class Relay:
    upstream: tuple[str, int]
    requests: Counter[int] = field(default_factory=Counter)
    answered_bytes: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, here = await asyncio.open_connection(*self.upstream, limit=READ_BYTES)
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask(reader, here))
            group.create_task(self._answer(there, writer))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = Requests(self.requests)
        await _pump(reader, writer, requests.feed)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def count(data: bytes) -> None:
            self.answered_bytes += len(data)

        await _pump(reader, writer, count)

    def told(self) -> str:
        return json.dumps({"fetches": self.requests[FETCH], "answered_bytes": self.answered_bytes})


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see: Callable[[bytes], None]) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            see(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # a side that is gone ends the connection of the other
    finally:
        writer.close()


async def relay(port: int, upstream: tuple[str, int]) -> None:
    made = Relay(upstream)
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with await asyncio.start_server(made.serve, "127.0.0.1", port, limit=READ_BYTES):
        while await asked.readline():
            print(made.told(), flush=True)


def main() -> None:
    port, _, upstream = sys.argv[1].partition("=")
    host, _, number = upstream.rpartition(":")
    asyncio.run(relay(int(port), (host, int(number))))


if __name__ == "__main__":
    main()
