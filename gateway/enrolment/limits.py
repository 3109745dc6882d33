"""How often one network address may try to redeem: a bucket for each, and a bound on buckets.

A. Strangers from many addresses can push old buckets out, but five wrong signatures burn the invite all the same.
"""

from __future__ import annotations

from urllib.parse import unquote

BURST = 10
PER_S = 10 / 60
ADDRESSES = 1024


class AttemptLimit:
    def __init__(self, burst: int = BURST, per_s: float = PER_S, addresses: int = ADDRESSES) -> None:
        self._burst, self._per_s, self._addresses = burst, per_s, addresses
        self._buckets: dict[str, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"<AttemptLimit {len(self._buckets)} addresses>"

    def allows(self, address: str, now_s: float) -> bool:
        """Whether another attempt from `address` (without its port) is taken; it is counted."""
        left, at_s = self._buckets.pop(address, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        if len(self._buckets) >= self._addresses:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[address] = (left - 1 if left >= 1 else left, now_s)
        return left >= 1


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
