"""Ports of loopback for processes that are told where to listen, and come back there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

PORTS = range(12_000, 32_000)
"""Below those that the kernel takes for connections: a port that was found free is not taken before it is used."""
BLOCK = 100
_claims: list[socket.socket] = []
"""Of blocks of ports; they end with this process."""


def _ports_of_ours() -> Iterator[int]:
    """Without end, and of no other process that tests meanwhile: what a killed gateway comes back to may not be taken
    while it is away."""
    blocks = list(range(PORTS.start, PORTS.stop, BLOCK))
    begin = os.getpid() * 7 % len(blocks)
    ours: list[int] = []
    for first in (*blocks[begin:], *blocks[:begin]):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0mesh-tests-ports-{first}")  # a name that is in no file system and goes with the socket
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        ours.append(first)
        yield from range(first, first + BLOCK)
    assert ours, "other processes have claimed every port"
    while True:
        for first in ours:
            yield from range(first, first + BLOCK)


_next_port = _ports_of_ours()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, others at each call and in each process."""
    found: list[int] = []
    while len(found) < count:
        port = next(_next_port)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found
