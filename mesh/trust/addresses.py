"""Where a peer listens, as text: `host:port` or `[v6]:port`. Form only: whom to dial is the operator's decision."""

from __future__ import annotations

import ipaddress
import re

_HOST_PORT = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})"
)


def legal_address(text: str) -> bool:
    """Whether `text` names a host and a port, and nothing else (no scheme, user, path or control character)."""
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        return False
    return not match["host"].startswith("[") or _is_v6(match["host"][1:-1])


def _is_v6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
