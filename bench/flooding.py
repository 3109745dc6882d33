"""The attackers of `bench.floods`: `python -m bench.flooding FLOOD ADDRESS HOME PEER_FILE`.

Says a line when the flood has begun, goes on until standard input ends, and then says what it has done. A *held* flood
keeps a stated number of things open, and makes anew at a stated pace what the other side lets go of; a flood of
*churn* does what it does as fast as it can.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from gateway.rpc.credentials import TransportLimits
from gateway.rpc.identity import Identity, load_identity
from gateway.rpc.streams import CATALOG_METHOD
from mesh.shares import PeerState
from mesh.trust.leaf import PeerTrust
from mesh.trust.peerfile import parse_peer_file
from tests.support.trust import client_context
from tests.threats import http2
from tests.threats.http2 import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, Rude

HALF_OPEN = 5000
WITHOUT_END = 12_000
"""More than a gateway takes: the rest is hung up on at once."""
HALF_OPEN_PER_S = HALF_OPEN / TransportLimits().handshake_timeout_s
"""What it takes to hold so many where each may last that long."""
IDLE, IDLE_PER_S = 1000, 100.0
CONNECTIONS, STREAMS = 16, 64
CONNECTIONS_PER_S = 2.0
STREAMS_S = 11.0
"""A stream that says nothing is ended a second before."""
STEP_S = 0.02
Done = dict[str, int]
Steps = Iterator[bool]
"""What a flood does, in pieces of less than about 20 ms; True once it is at its height."""


class Scene:
    def __init__(self, address: str, identity: Identity, trust: PeerTrust) -> None:
        self.address, self.identity, self.trust = address, identity, trust
        self.done: Done = {}

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition(":")
        return host, int(port)

    def count(self, what: str, more: int = 1) -> None:
        self.done[what] = self.done.get(what, 0) + more


class Pace:
    """How many more there may be by now, at so many a second; what was not used in a second is not made up for."""

    def __init__(self, per_s: float) -> None:
        self._per_s, self._room, self._at = per_s, 1.0, time.monotonic()

    def take(self) -> int:
        now = time.monotonic()
        self._room = min(max(1.0, self._per_s), self._room + (now - self._at) * self._per_s)
        self._at = now
        whole = int(self._room)
        self._room -= whole
        return whole


# --- held


def hello_bytes() -> bytes:
    """A ClientHello, after which nothing comes."""
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="gateway").do_handshake()
    return out.read()


class Held:
    """Connections of ours, of which those are forgotten that the other side hangs up on."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._by_file: dict[int, socket.socket] = {}
        self._ready = select.epoll()

    def __len__(self) -> int:
        return len(self._by_file)

    def add(self, one: socket.socket) -> None:
        one.setblocking(False)
        self._by_file[one.fileno()] = one
        self._ready.register(one, select.EPOLLIN)
        self._scene.count("connections")

    def look(self) -> None:
        for file, _ in self._ready.poll(0):
            if not _is_open(self._by_file[file]):
                self._by_file.pop(file).close()
                self._scene.count("hung up on")
        self._scene.done["held"] = len(self)


def _is_open(one: socket.socket) -> bool:
    try:
        return bool(one.recv(1 << 16))
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def holding(scene: Scene, most: int, per_s: float, opened: Callable[[], socket.socket]) -> Steps:
    """`most` connections as `opened` makes them; those that were hung up on are made anew."""
    held, pace, began_s = Held(scene), Pace(per_s), time.monotonic()
    while True:
        for _ in range(min(pace.take(), most - len(held))):
            with suppress(OSError):
                held.add(opened())
        held.look()
        yield len(held) == most or time.monotonic() > began_s + 1.1 * most / per_s
        time.sleep(STEP_S)


def half_open(scene: Scene, first: bytes = b"", most: int = HALF_OPEN, per_s: float = HALF_OPEN_PER_S) -> Steps:
    """Connections that say `first` and nothing more."""
    return holding(scene, most, per_s, lambda: begun(scene, first))


def begun(scene: Scene, first: bytes) -> socket.socket:
    """Raises OSError."""
    one = socket.create_connection(scene.place, 5)
    try:
        one.sendall(first)
    except OSError:
        one.close()
        raise
    return one


def idle_connections(scene: Scene) -> Steps:
    """Connections of a peer that have shaken hands and greeted, and call nothing."""
    context, name = client_context(scene.identity, scene.trust), scene.trust.expected_dns_name
    return holding(scene, IDLE, IDLE_PER_S, lambda: http2.greeted(scene.address, context, name))


def idle_streams(scene: Scene, settings: bytes = b"") -> Steps:
    """Many connections of a peer, each with more streams than it may have, that say nothing."""
    pace, began_s = Pace(CONNECTIONS_PER_S), time.monotonic()
    held: list[tuple[float, ExitStack]] = []
    first = http2.frame(SETTINGS, payload=settings) + b"".join(map(http2.opened, range(1, 2 * STREAMS, 2)))
    while True:
        while held and held[0][0] < time.monotonic() - STREAMS_S:
            held.pop(0)[1].close()
        for _ in range(min(pace.take(), CONNECTIONS - len(held))):
            with suppress(OSError), ExitStack() as stack:
                rude = stack.enter_context(http2.connected(scene.address, scene.identity, scene.trust))
                rude.send(first)
                scene.count("streams", STREAMS)
                held.append((time.monotonic(), stack.pop_all()))
        yield len(held) == CONNECTIONS or time.monotonic() > began_s + 1.1 * CONNECTIONS / CONNECTIONS_PER_S
        time.sleep(STEP_S)


def together(*floods: Callable[[Scene], Steps]) -> Callable[[Scene], Steps]:
    return lambda scene: (all(each) for each in zip(*(flood(scene) for flood in floods), strict=True))


def half_of(first: bytes) -> Callable[[Scene], Steps]:
    return lambda scene: half_open(scene, first, HALF_OPEN // 2, HALF_OPEN_PER_S / 2)


# --- churn


def opening(scene: Scene, first: bytes = b"") -> Steps:
    """Half-open connections, each made anew at once when it was hung up on."""
    held = Held(scene)
    while True:
        for _ in range(min(100, WITHOUT_END - len(held))):
            with suppress(OSError):
                held.add(begun(scene, first))
        held.look()
        yield True


def handshakes(scene: Scene) -> Steps:
    """Whole handshakes of a stranger, to be refused for want of a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        with suppress(OSError), socket.create_connection(scene.place, 5) as plain:
            with suppress(OSError), context.wrap_socket(plain) as secured:
                secured.recv(1)
            scene.count("handshakes")
        yield True


def over_and_over(scene: Scene, act: Callable[[Rude, int], bytes], settings: bytes = b"") -> Steps:
    """On one connection, made anew where it is cut: what `act` gives for each next stream."""
    while True:
        with suppress(OSError), http2.connected(scene.address, scene.identity, scene.trust) as rude:
            scene.count("connections")
            rude.send(http2.frame(SETTINGS, payload=settings))
            for stream in range(1, 1 << 30, 2):
                if not rude.send(act(rude, stream)):
                    break
                scene.count("sent")
                if stream % 128 == 127:
                    rude.answer()
                    yield True
        yield True


def paced_resets(scene: Scene) -> Steps:
    """Streams that are reset once their handlers run: what a flood of resets in one packet never gets to."""
    while True:
        with suppress(OSError), http2.connected(scene.address, scene.identity, scene.trust) as rude:
            scene.count("connections")
            for first in range(1, 1 << 30, 2 * STREAMS):
                streams = range(first, first + 2 * STREAMS, 2)
                if not rude.send(b"".join(map(http2.opened, streams))):
                    break
                time.sleep(0.02)
                scene.count("refused", rude.answer().get(http2.RST_STREAM, 0))
                if not rude.send(b"".join(map(http2.reset, streams))):
                    break
                scene.count("resets", STREAMS)
                rude.answer()
                yield True
        yield True


def calls(scene: Scene) -> Steps:
    """Whole calls, as many as are taken."""
    while True:
        with suppress(OSError), http2.connected(scene.address, scene.identity, scene.trust) as rude:
            for first in range(1, 1 << 30, 2 * STREAMS):
                streams = range(first, first + 2 * STREAMS, 2)
                asked = (
                    http2.opened(each, CATALOG_METHOD) + http2.frame(http2.DATA, END_STREAM, each, bytes(5))
                    for each in streams
                )
                if not rude.send(b"".join(asked)):
                    break
                scene.count("calls", STREAMS)
                refused = rude.answer(0.05).get(http2.RST_STREAM, 0)
                scene.count("refused", refused)
                yield True
        yield True


def block(more: bytes) -> Callable[[Rude, int], bytes]:
    return lambda _, stream: http2.frame(HEADERS, END_HEADERS, stream, http2.call() + more)


def continuation(_: Rude, stream: int) -> bytes:
    begin = http2.frame(HEADERS, 0, 1, http2.call()) if stream == 1 else b""
    return begin + http2.frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x01" + b"b" * 128)


LARGE = b"\x40\x01a\x7f\xe1\x1e" + b"b" * 4000 + b"\xbe" * 4000
"""A header of 4 kB kept in the table, and named 4,000 times: 16 MB in 8 kB."""
NO_WINDOW = b"\x00\x04\x00\x00\x00\x00"


@dataclass(frozen=True)
class Flood:
    kind: Literal["held", "churn"]
    what: str
    begin: Callable[[Scene], Steps]


def _held(what: str, begin: Callable[[Scene], Steps]) -> Flood:
    return Flood("held", what, begin)


def _churn(what: str, begin: Callable[[Scene], Steps]) -> Flood:
    return Flood("churn", what, begin)


_PACE = f"{HALF_OPEN_PER_S:.0f} a second made anew"
_STREAMS = f"{CONNECTIONS} connections of a peer with {STREAMS} streams each"
FLOODS: dict[str, Flood] = {
    "half-open": _held(f"{HALF_OPEN} connections that say nothing, {_PACE}", half_open),
    "unfinished-tls": _held(
        f"{HALF_OPEN} that begin a handshake, {_PACE}", lambda scene: half_open(scene, hello_bytes())
    ),
    "idle-connections": _held(f"{IDLE} of a peer that greeted and call nothing", idle_connections),
    "idle-streams": _held(f"{_STREAMS} that say nothing", idle_streams),
    "slow-readers": _held(f"{_STREAMS} that take nothing", lambda scene: idle_streams(scene, NO_WINDOW)),
    "all-held": _held(
        f"{HALF_OPEN} half-open, every second one with a beginning, and the idle streams",
        together(half_of(b""), half_of(hello_bytes()), idle_streams),
    ),
    "opening": _churn("half-open connections without end", opening),
    "opening-tls": _churn("begun handshakes without end", lambda scene: opening(scene, hello_bytes())),
    "handshakes": _churn("a stranger's whole handshakes, one after another", handshakes),
    "rapid-reset": _churn(
        "streams that are reset at once",
        lambda scene: over_and_over(scene, lambda _, s: http2.opened(s) + http2.reset(s)),
    ),
    "paced-reset": _churn("streams that are reset when they run", paced_resets),
    "calls": _churn("calls of a peer", calls),
    "pings": _churn("pings", lambda scene: over_and_over(scene, lambda *_: http2.frame(PING, payload=bytes(8)))),
    "settings": _churn(
        "settings", lambda scene: over_and_over(scene, lambda *_: http2.frame(SETTINGS, payload=NO_WINDOW))
    ),
    "continuation": _churn("headers that never end", lambda scene: over_and_over(scene, continuation)),
    "header-bomb": _churn("headers that unpack to 16 MB", lambda scene: over_and_over(scene, block(LARGE))),
}


def main() -> None:
    flood, address, home, file = sys.argv[1:]
    keys = Path(home) / "keys"
    bundle = parse_peer_file(Path(file).read_text(), datetime.now(UTC)).bundle
    identity = load_identity(keys / "gateway.pem", keys / "gateway.key")
    scene = Scene(address, identity, PeerTrust(PeerState.ACTIVE, bundle))
    steps = FLOODS[flood].begin(scene)
    while not next(steps):
        pass
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        next(steps)
    print(json.dumps(scene.done), flush=True)


if __name__ == "__main__":
    main()
