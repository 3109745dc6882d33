"""Whether a partner is likely to reach the addresses that an invite names, as far as this side can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from gateway.address import Address
from gateway.rpc.targets import checked_targets
from mesh.trust.addresses import is_public_ip

CONNECT_S = 2.0


class Reach(NamedTuple):
    address: str
    scope: str
    """`public`, `private` (loopback and the like included) or `unresolved`."""
    answers: bool
    """Something takes connections there, seen from this machine."""


async def reach_of(addresses: Iterable[str]) -> list[Reach]:
    return list(await asyncio.gather(*(_reach(address) for address in addresses)))


def advice(found: Iterable[Reach]) -> str:
    """Which side should make the invite, in one sentence; empty where nothing speaks against this one."""
    found = list(found)
    if not any(each.scope == "public" for each in found):
        return (
            "a partner elsewhere cannot reach a private address: if its gateway has a public one, let it make the "
            "invite, or name a public address of this side"
        )
    silent = [each.address for each in found if not each.answers]
    if silent:
        return (
            f"nothing answers at {', '.join(silent)}, seen from here: check the forwarding, or let the partner invite"
        )
    return ""


async def _reach(address: str) -> Reach:
    try:
        targets = await checked_targets(address, allow_private=True, timeout_s=CONNECT_S)
    except OSError:
        return Reach(address, "unresolved", False)
    public = all(is_public_ip(target.partition(":")[2].rpartition(":")[0].strip("[]")) for target in targets)
    return Reach(address, "public" if public else "private", await _answers(Address.parse(address)))


async def _answers(address: Address) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
