"""One connection to a broker: bytes out, whole responses in.

A response is read straight into one buffer of its own size and handed out as a memoryview, so nothing is copied
between the socket and whoever parses it. Small responses arrive through a scratch buffer, several to a read.
Kafka answers in order per connection; correlation ids are checked. A connection that breaks, or is broken off by
`abort`, fails everybody who waits with ClusterUnreachable and stays closed: its owner opens another.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from mesh.batch.native import blank
from mesh.batch.stamp import Buffer
from mesh.cluster_errors import ClusterUnreachable

SCRATCH_BYTES = 4096
"""Holds the answers of many produce requests, and costs one small copy at the head of a large fetch answer."""
WRITE_HIGH_WATER_BYTES = 4 << 20
PREFIX = struct.Struct(">ihhih")
"""size i32 | api key i16 | api version i16 | correlation id i32 | length of the client id i16"""


class Api(NamedTuple):
    """A request's key and version; `flexible` ones have tagged fields, in the headers too."""

    key: int
    version: int
    flexible: bool = True


class Connection(asyncio.BufferedProtocol):
    """`address` and `client_id` are for the broker's and our errors; the transport comes with `connection_made`."""

    def __init__(self, address: str, client_id: str, max_response_bytes: int) -> None:
        self.address = address
        self._client_id = client_id.encode()
        self._max_response_bytes = max_response_bytes
        self._transport: asyncio.Transport | None = None
        self._failure: str | None = None
        self._waiting: deque[tuple[int, asyncio.Future[memoryview]]] = deque()
        self._correlation = 0
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._held = 0
        self._body: memoryview | None = None
        self._filled = 0
        self.writable = True
        """Whether the transport takes more without piling up; it takes any amount all the same."""
        self.takes_topic_ids = False
        """Whether the broker takes batches for topics by their ids."""
        self.expires_at: float | None = None
        """By the event loop's clock: when the broker wants the credentials anew. Nobody should begin anything then."""
        self._when_writable: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        state = f"closed: {self._failure}" if self.closed else f"{len(self._waiting)} waiting"
        return f"Connection({self.address}, {state})"

    @property
    def closed(self) -> bool:
        return self._failure is not None

    @property
    def usable(self) -> bool:
        """Open, and its session not about to end."""
        expired = self.expires_at is not None and asyncio.get_running_loop().time() > self.expires_at
        return not self.closed and not expired

    @property
    def peer_certificate(self) -> Mapping[str, Any]:
        """What the broker showed, as `ssl` describes a verified one; empty without TLS."""
        transport = self._transport
        return (transport.get_extra_info("peercert") if transport is not None else None) or {}

    def when_writable(self, call: Callable[[], None]) -> None:
        """Call it each time that `writable` becomes true again. Several may send over one connection."""
        self._when_writable.append(call)

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return len(self._waiting)

    def send(self, api: Api, parts: Sequence[Buffer]) -> asyncio.Future[memoryview]:
        """Write one request, in the order of the calls; the future holds the response after its correlation id.

        Raises ClusterUnreachable where the connection is closed: then nothing was written.
        """
        if self._transport is None or self._failure is not None:
            raise ClusterUnreachable(self.address, self._failure or "not connected")
        self._correlation = (self._correlation + 1) & 0x7FFFFFFF
        client_id, tags = self._client_id, b"\0" if api.flexible else b""
        size = PREFIX.size - 4 + len(client_id) + len(tags) + sum(map(len, parts))
        prefix = PREFIX.pack(size, api.key, api.version, self._correlation, len(client_id))
        future: asyncio.Future[memoryview] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._correlation, future))
        self._transport.writelines([prefix + client_id + tags, *parts])
        return future

    async def request(self, api: Api, parts: Sequence[Buffer], timeout_s: float) -> memoryview:
        """Send and wait. After `timeout_s` the connection is given up, since nothing behind can be answered either."""
        future = self.send(api, parts)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            why = f"no answer within {timeout_s:g} s"
            self.abort(why)
            raise ClusterUnreachable(self.address, why) from None

    def abort(self, why: str) -> None:
        """Close at once and fail everybody who waits; harmless when closed already."""
        if self._failure is None:
            self._failure = why
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(ClusterUnreachable(self.address, self._failure))
                future.exception()  # seen: whoever waits still gets it, nobody has to

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods without being of the class
        self._transport = made = cast(asyncio.Transport, transport)
        made.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort(str(exc) if exc else "the broker closed the connection")

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        for call in self._when_writable:
            call()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._body is not None:
            return self._body[self._filled :]
        return self._scratch[self._held :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._failure is not None:
            return
        if self._body is None:
            self._held += nbytes
            self._take_from_scratch()
            return
        self._filled += nbytes
        if self._filled == len(self._body):
            body, self._body = self._body, None
            self._deliver(body)

    def _take_from_scratch(self) -> None:
        at, held = 0, self._held
        while held - at >= 4 and self._failure is None:
            size = int.from_bytes(self._scratch[at : at + 4], "big")
            if not 4 <= size <= self._max_response_bytes:
                self.abort(f"a response of {size} bytes, the limit is {self._max_response_bytes}")
                return
            body, here = memoryview(blank(size)), min(size, held - at - 4)
            body[:here] = self._scratch[at + 4 : at + 4 + here]
            at += 4 + here
            if here < size:
                self._body, self._filled = body, here
                break
            self._deliver(body)
        rest = held - at
        self._scratch[:rest] = bytes(self._scratch[at:held])
        self._held = rest

    def _deliver(self, body: memoryview) -> None:
        correlation = int.from_bytes(body[:4], "big")
        if not self._waiting or self._waiting[0][0] != correlation:
            self.abort(f"a response nobody asked for: correlation id {correlation}")
            return
        _, future = self._waiting.popleft()
        if not future.done():
            future.set_result(body[4:])
