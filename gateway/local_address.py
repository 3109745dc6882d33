"""Where a listener for applications of this machine may be: a port on loopback, or a Unix socket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

from gateway.address import Address
from gateway.unix_socket import PREFIX, SocketPath, check_length
from mesh.errors import CallerError

LocalAddress: TypeAlias = Address | SocketPath


@dataclass(eq=False)
class NotLocal(CallerError):
    address: str

    code: ClassVar[str] = "address-not-local"
    sentence: ClassVar[str] = "{address!r} is not on this machine alone: a token is the local API's only protection"
    hint: ClassVar[str] = "write 127.0.0.1:PORT, [::1]:PORT or unix:/absolute/path"


def local_address(text: str) -> LocalAddress:
    """The address in `text`. Raises IllegalAddress, NotLocal, SocketPathTooLong."""
    if not text.startswith(PREFIX):
        address = Address.parse(text)
        if not address.is_loopback:
            raise NotLocal(text[:80])
        return address
    path = Path(text.removeprefix(PREFIX))
    if not path.is_absolute() or "\0" in text:
        raise NotLocal(text[:80])
    check_length(path)
    return SocketPath(path)
