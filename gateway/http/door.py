"""A listener's socket, as a rule on loopback or a Unix socket: taken before anything runs or is imported.

A gateway that may not have its port refuses to start at once; whoever connects meanwhile waits until he is served.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from gateway.address import Address
from gateway.http.errors import AddressRefused, PortInUse
from gateway.local_address import LocalAddress
from gateway.unix_socket import SocketPath, bound_at, give_back

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Door:
    """A socket that listens."""

    socket: socket.socket
    at: LocalAddress
    """With the port in use."""

    @property
    def address(self) -> str:
        return str(self.at)

    def close(self) -> None:
        self.socket.close()
        if isinstance(self.at, SocketPath):
            give_back(self.at)


def open_door(host: str, port: int, what: str = "admin", *, anywhere: bool = False) -> Door:
    """`what` names the listener in errors.

    Raises AddressRefused (not ours, or not loopback unless it may be `anywhere`) and PortInUse.
    """
    address = f"{host}:{port}"
    if host not in LOOPBACK and not anywhere:
        raise AddressRefused(address, what, "it is not a loopback address")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(address, what) from error
        raise AddressRefused(address, what, str(error.strerror or error).lower()) from error
    bound.setblocking(False)
    return Door(bound, Address(host, int(bound.getsockname()[1])))


def open_path(place: SocketPath, what: str) -> Door:
    """Raises SocketPathTooLong, PortInUse, AddressRefused."""
    return Door(bound_at(place, what), place)
