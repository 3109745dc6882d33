"""`host:port` as a value: parsed once, printed the same way everywhere."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from mesh.errors import CallerError

_FORM = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]{2,45})\]|(?P<host>[A-Za-z0-9._-]{1,253})):(?P<port>[0-9]{1,5})")


@dataclass(eq=False)
class IllegalAddress(CallerError):
    address: str

    code: ClassVar[str] = "illegal-address"
    sentence: ClassVar[str] = "{address!r} is not an address"
    hint: ClassVar[str] = "write host:port with a port from 0 to 65535, an IPv6 address as [::1]:7463"


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in `text`. Raises IllegalAddress."""
        match = _FORM.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise IllegalAddress(text[:80])
        return cls(match["ipv6"] or match["host"], int(match["port"]))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach it; a name other than `localhost` is not trusted to be."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
