"""`unix:/path` as a value, and its place in the file system: taken for a listener, given back afterwards.

A. The socket is its owner's only, from its first moment on (`private`).
B. What a killed gateway left there is removed; what answers, and what is no socket, is not.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from gateway.http.errors import AddressRefused, PortInUse
from mesh.errors import OperatorError

PREFIX = "unix:"
MAX_PATH_BYTES = 107
"""Of a Unix socket's address on Linux: 108 with the zero behind it."""
BACKLOG = 128


@dataclass(eq=False)
class SocketPathTooLong(OperatorError):
    path: str
    size_bytes: int
    limit_bytes: int

    code: ClassVar[str] = "socket-path-too-long"
    sentence: ClassVar[str] = "a socket cannot have the path {path!r}: it has {size_bytes} bytes, {limit_bytes} at most"
    hint: ClassVar[str] = "set a shorter path, such as one in /run, or host:port"


class SocketPath(NamedTuple):
    path: Path

    def __str__(self) -> str:
        return f"{PREFIX}{self.path}"


def check_length(path: Path) -> None:
    """Raises SocketPathTooLong."""
    size = len(os.fsencode(path))
    if size > MAX_PATH_BYTES:
        raise SocketPathTooLong(str(path), size, MAX_PATH_BYTES)


def make_room(place: SocketPath, what: str) -> None:
    """Returns where a listener may have `place`; what a killed gateway left there is gone then.

    `what` names the listener in errors. Raises SocketPathTooLong, PortInUse, AddressRefused.
    """
    check_length(place.path)
    try:
        if not stat.S_ISSOCK(place.path.lstat().st_mode):
            raise AddressRefused(str(place), what, "there is something that is no socket")
        if _answers(place.path):
            raise PortInUse(str(place), what)
        place.path.unlink()
    except FileNotFoundError:
        if not place.path.parent.is_dir():
            raise AddressRefused(str(place), what, "its directory does not exist") from None
    except OSError as error:
        raise AddressRefused(str(place), what, str(error.strerror or error).lower()) from error


def bound_at(place: SocketPath, what: str) -> socket.socket:
    """A socket that listens at `place`. Raises as `make_room`."""
    make_room(place, what)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with private():
            made.bind(str(place.path))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise AddressRefused(str(place), what, str(error.strerror or error).lower()) from error
    made.setblocking(False)
    return made


@contextmanager
def private() -> Iterator[None]:
    """What is made inside is for this user only. No await inside: the mask is the whole process's."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def give_back(place: SocketPath) -> None:
    """Remove the socket of a listener that has closed."""
    place.path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True
