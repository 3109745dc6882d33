"""The wire of the round-trip benchmark: the laboratory's proxy in a process of its own, whose CPU can be told.

    python -m bench.round_trip_wire PORT=UPSTREAM ...

Each line of its input is a round trip in seconds, from then on, half of it each way; who is connected is reset, so that
every connection lives with one round trip from its beginning. It answers a line when it is done.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Mapping

from bench.asked import Asked
from tests.lab.wire.proxy import Proxy

TRIED_BYTES = 400_000_000
TRIED_PIECE = bytes(1 << 20)


class Wire(Asked):
    """Listens on each port of `ways` for its upstream, from construction on."""

    def __init__(self, ways: Mapping[int, str]) -> None:
        super().__init__("bench.round_trip_wire", *(f"{port}={upstream}" for port, upstream in ways.items()))
        self.hear()

    def round_trip(self, seconds: float) -> None:
        self.say(f"{seconds}")


def tried(port: int, sink: socket.socket) -> float:
    """MB/s of bytes that go through the wire at `port` to `sink`, which listens: from the first byte received."""
    first_s = last_s = 0.0

    def receive() -> None:
        nonlocal first_s, last_s
        client, _ = sink.accept()
        with client:
            buffer, left = bytearray(1 << 20), TRIED_BYTES
            while left > 0 and (size := client.recv_into(buffer)):
                left -= size
                last_s = time.monotonic()
                first_s = first_s or last_s

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    with socket.create_connection(("127.0.0.1", port), 10) as sender:
        for _ in range(-(-TRIED_BYTES // len(TRIED_PIECE))):
            sender.sendall(TRIED_PIECE)
        receiver.join(60)
    return TRIED_BYTES / 1e6 / (last_s - first_s)


def main() -> None:
    proxies = [Proxy(upstream, port=int(port)) for port, upstream in (way.split("=") for way in sys.argv[1:])]
    print("ready", flush=True)
    for line in sys.stdin:
        for proxy in proxies:
            proxy.weather(latency_s=float(line) / 2)
            proxy.reset()
        print("done", flush=True)


if __name__ == "__main__":
    main()
