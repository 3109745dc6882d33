"""The faults: what strikes, and what ends it. Each strikes once every lane has begun and before its last records."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.matrix.leading import addresses, most_leading

if TYPE_CHECKING:
    from tests.matrix.field import Field
    from tests.support.brokers import Broker


class Wire:
    """A TCP relay to `target` that can be cut: what is open breaks, what comes is refused."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._is_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        for each in list(self._open):
            self._drop(each)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        # `close` alone does not end an accept that waits
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                try:
                    if self._is_cut:
                        raise ConnectionRefusedError
                    there = socket.create_connection(self._target, timeout=5)
                except OSError:
                    caller.close()
                    continue
                there.settimeout(None)
                self._open |= {caller, there}
                for one, other in ((caller, there), (there, caller)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()
                if self._is_cut:
                    self.cut()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        self._drop(one)
        self._drop(other)

    def _drop(self, each: socket.socket) -> None:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
        self._open.discard(each)


@dataclass(frozen=True)
class Fault:
    """`name` is the column of the matrix."""

    name: str
    strike: Callable[[Field], None]
    heal: Callable[[Field], None]
    source_writable: bool = True
    """Whether the source takes records while it lasts."""


def _nothing(field: Field) -> None:
    pass


def _pause(field: Field) -> None:
    for name in field.subscriptions:
        field.globex.mesh("subscription", "pause", name)


def _resume(field: Field) -> None:
    for name in field.subscriptions:
        field.globex.mesh("subscription", "resume", name)


def _cut(field: Field) -> None:
    for wire in field.wires:
        wire.cut()


def _mend(field: Field) -> None:
    for wire in field.wires:
        wire.mend()


def _kill(brokers: Callable[[Field], list[Broker]]) -> Callable[[Field], None]:
    """Kills the broker that leads most; of a single one there is no choice."""

    def strike(field: Field) -> None:
        cluster = brokers(field)
        victim = cluster[most_leading(addresses(cluster)) - 1]
        victim.kill()
        field.victims.append(victim)

    return strike


def _revive(field: Field) -> None:
    while field.victims:
        field.victims.pop().restart()


def _theirs(field: Field) -> list[Broker]:
    return field.theirs


def _ours(field: Field) -> list[Broker]:
    return field.ours


FAULTS = [
    Fault("none", _nothing, _nothing),
    Fault("kill-importer", lambda field: field.globex.kill(), lambda field: field.globex.start()),
    Fault("kill-exporter", lambda field: field.acme.kill(), lambda field: field.acme.start()),
    Fault("kill-source", _kill(_theirs), _revive, source_writable=False),
    Fault("kill-destination", _kill(_ours), _revive),
    Fault("cut-link", _cut, _mend),
    Fault("pause-resume", _pause, _resume),
]
"""With one broker on each side."""
FAULTS_OF_THREE = [
    Fault("kill-destination-leader", _kill(_ours), _revive),
    Fault("kill-source-leader", _kill(_theirs), _revive),
]
"""With three on each side: another becomes the leader."""
