"""The wire of the round-trip benchmark: the laboratory's proxy in a process of its own, whose CPU can be told.

    python -m bench.round_trip_wire PORT=UPSTREAM ...

Each line of its input is a round trip in seconds, from then on, half of it each way; who is connected is reset, so that
every connection lives with one round trip from its beginning. It answers a line when it is done.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from bench.process import LEASH
from tests.lab.wire.proxy import Proxy

TRIED_BYTES = 400_000_000
TRIED_PIECE = bytes(1 << 20)


class Wire:
    """Listens on each port of `ways` for its upstream, from construction on."""

    def __init__(self, ways: Mapping[int, str]) -> None:
        command = [*LEASH, sys.executable, "-m", "bench.round_trip_wire"]
        command += [f"{port}={upstream}" for port, upstream in ways.items()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def round_trip(self, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self._answer()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _answer(self) -> None:
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the wire has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()


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
