"""From an address that a partner named to the IP addresses that may be dialled: resolved once, each checked.

What is dialled is the checked IP address itself, never the name again: a name that resolves differently a moment later
leads nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress

from gateway.address import Address
from mesh.link.errors import LinkLost
from mesh.trust.addresses import is_public_ip
from mesh.trust.enrolment_errors import AddressNotPublic


async def checked_targets(address: str, *, allow_private: bool, timeout_s: float = 5.0) -> list[str]:
    """gRPC targets (`ipv4:…`, `ipv6:…`) of `address`, as `checked_hosts` finds them."""
    port = Address.parse(address).port
    hosts = await checked_hosts(address, allow_private=allow_private, timeout_s=timeout_s)
    return [f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}" for host in hosts]


async def checked_hosts(address: str, *, allow_private: bool, timeout_s: float = 5.0) -> list[str]:
    """The IP addresses of `address`, in the resolver's order.

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
    hosts: list[str] = []
    for entry in found:
        host = str(entry[4][0])
        if not allow_private and not is_public_ip(host):
            raise AddressNotPublic(address, host)
        if host not in hosts:
            hosts.append(host)
    return hosts


async def check_addresses(addresses: Iterable[str], *, allow_private: bool) -> None:
    """Raises AddressNotPublic. A name that does not resolve now is checked when it is dialled."""
    if not allow_private:
        for address in addresses:
            with suppress(OSError):
                await checked_hosts(address, allow_private=False)


async def dial_target(address: str) -> str:
    """The first target of an address that a peer named itself. Raises AddressNotPublic, LinkLost."""
    try:
        return (await checked_targets(address, allow_private=False))[0]
    except OSError as error:
        raise LinkLost(f"{address} does not resolve: {error.strerror or error}") from error
