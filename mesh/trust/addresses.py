"""Where a peer listens, as text: `host:port` or `[v6]:port`, and which IP addresses a partner may send us to."""

from __future__ import annotations

import ipaddress
import re

_HOST_PORT = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})"
)

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


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


def shows_where(address: str) -> bool:
    """Whether whoever reads the legal `address` sees where it leads: an IP address written out, of a host in a network.

    A name leads where its owner says, and later elsewhere. Link-local addresses are those of a machine's surroundings,
    the metadata of a cloud among them, and never those of a partner.
    """
    try:
        ip = ipaddress.ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    strange = ip.is_link_local or ip.is_multicast or ip.is_unspecified
    return not strange and (is_public_ip(str(ip)) or _meanings(ip) == [ip])


def is_public_ip(text: str) -> bool:
    """Whether the IP address `text` may be dialled because a partner says so: global, unicast, and not a disguise.

    An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) is judged by that, too.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(each.is_global and not each.is_multicast and not each.is_reserved for each in _meanings(address))


def _meanings(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    carried = [address.sixtofour] if address.sixtofour is not None else []
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address, *carried]
