"""From an address that a partner named to the IP addresses that may be dialled: resolved once, each checked.

What is dialled is the checked IP address itself, never the name again: a name that resolves differently a moment later
leads nowhere else.
"""

from __future__ import annotations

import asyncio
import socket

from gateway.address import Address
from mesh.link.errors import LinkLost
from mesh.trust.addresses import is_public_ip
from mesh.trust.enrolment_errors import AddressNotPublic


async def checked_targets(address: str, *, allow_private: bool, timeout_s: float = 5.0) -> list[str]:
    """gRPC targets (`ipv4:…`, `ipv6:…`) of `address`, in the resolver's order.

    Raises AddressNotPublic where any of them is not public and that is not allowed, OSError where it does not resolve,
    IllegalAddress.
    """
    parsed = Address.parse(address)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise OSError(f"{parsed.host} did not resolve in {timeout_s:g} s") from error
    except UnicodeError as error:
        raise OSError(f"{parsed.host!r} is not a host name") from error
    targets: list[str] = []
    for family, _, _, _, sockaddr in found:
        host = str(sockaddr[0])
        if not allow_private and not is_public_ip(host):
            raise AddressNotPublic(address, host)
        target = f"ipv6:[{host}]:{parsed.port}" if family == socket.AF_INET6 else f"ipv4:{host}:{parsed.port}"
        if target not in targets:
            targets.append(target)
    return targets


async def dial_target(address: str) -> str:
    """The first target of an address that a peer named itself. Raises AddressNotPublic, LinkLost."""
    try:
        return (await checked_targets(address, allow_private=False))[0]
    except OSError as error:
        raise LinkLost(f"{address} does not resolve: {error.strerror or error}") from error
