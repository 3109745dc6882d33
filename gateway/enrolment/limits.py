"""How often one network address may try to redeem.

A. Strangers from many addresses can push old buckets out, but five wrong signatures burn the invite all the same.
"""

from __future__ import annotations

from urllib.parse import unquote

from gateway.attempts import AttemptLimit

BURST = 10
PER_S = 10 / 60


def redeeming_limit() -> AttemptLimit:
    """By network address, without its port."""
    return AttemptLimit(BURST, PER_S)


def caller_address(peer: str) -> str:
    """The host in gRPC's `ipv4:10.0.0.1:4711` or `ipv6:%5B::1%5D:4711`; of IPv6 the /64, which one host may own."""
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0]
    if kind != "ipv6":
        return host or peer[:80]
    import ipaddress

    try:
        return str(ipaddress.IPv6Network((host.strip("[]").partition("%")[0], 64), strict=False))
    except ValueError:
        return host
