"""A client of HTTP/2 that keeps no rules: frames made by hand, over TLS with a peer's certificate or without one."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gateway.rpc.identity import Identity
from gateway.rpc.streams import OPEN_METHOD
from mesh.trust.leaf import PeerTrust
from tests.support.trust import client_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL = 8


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(text: bytes) -> bytes:
    """A string of HPACK, as it is, of fewer than 127 bytes."""
    return bytes((len(text),)) + text


def call(method: str = OPEN_METHOD, authority: bytes = b"gateway") -> bytes:
    """The header block of a call, which leaves nothing in the other's table."""
    literal = b"\x00" + _text(b"te") + _text(b"trailers")
    kind = b"\x0f\x10" + _text(b"application/grpc")
    return b"\x83\x87" + b"\x04" + _text(method.encode()) + b"\x01" + _text(authority) + kind + literal


def opened(stream: int, method: str = OPEN_METHOD) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, call(method))


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))


class Rude:
    """A connection. `send` says False once the other side has hung up."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._rest = b""

    def send(self, data: bytes) -> bool:
        try:
            self.connection.sendall(data)
        except (OSError, ssl.SSLError):
            return False
        return True

    def answer(self, within_s: float = 0.0) -> dict[int, int]:
        """Take in what has come, and acknowledge what asks for it, so that nobody waits for us; counts by kind."""
        self.connection.settimeout(within_s)
        with suppress(OSError):
            while got := self.connection.recv(1 << 16):
                self._rest += got
                self.connection.settimeout(0)
        self.connection.settimeout(10)
        found: dict[int, int] = {}
        acks = []
        while len(self._rest) >= 9 and len(self._rest) >= (end := 9 + int.from_bytes(self._rest[:3], "big")):
            kind, flags, payload = self._rest[3], self._rest[4], self._rest[9:end]
            self._rest = self._rest[end:]
            found[kind] = found.get(kind, 0) + 1
            if kind in (PING, SETTINGS) and not flags & ACK:
                acks.append(frame(kind, ACK, payload=payload if kind == PING else b""))
        if acks:
            self.send(b"".join(acks))
        return found

    def is_hung_up(self, within_s: float) -> bool:
        """Whether the other side ends the connection within so long."""
        self.connection.settimeout(within_s)
        try:
            while self.connection.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except (OSError, ssl.SSLError):
            return True
        return True


def greeted(address: str, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    """A connection to `name` that is greeted as HTTP/2 asks for. Raises OSError."""
    host, _, port = address.rpartition(":")
    plain = socket.create_connection((host, int(port)), 10)
    try:
        secured = context.wrap_socket(plain, server_hostname=name)
    except OSError:
        plain.close()
        raise
    try:
        secured.sendall(PREFACE + frame(SETTINGS))
    except OSError:
        secured.close()
        raise
    return secured


@contextmanager
def connected(address: str, identity: Identity, trust: PeerTrust) -> Iterator[Rude]:
    """Greeted, until the end of the block, with a window that never closes. Raises OSError."""
    with greeted(address, client_context(identity, trust), trust.expected_dns_name) as secured:
        yield Rude(secured)
        with suppress(OSError):
            secured.setblocking(False)
