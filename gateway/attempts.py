"""How often somebody may try something: a bucket for each who does, and a bound on buckets."""

from __future__ import annotations

CALLERS = 1024


class AttemptLimit:
    """`burst` attempts at once, then `per_s`; of more than `callers`, those are forgotten who came longest ago."""

    def __init__(self, burst: int, per_s: float, callers: int = CALLERS) -> None:
        self._burst, self._per_s, self._callers = burst, per_s, callers
        self._buckets: dict[str, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"<AttemptLimit {len(self._buckets)} callers>"

    def allows(self, caller: str, now_s: float) -> bool:
        """Whether another attempt is taken; it is counted."""
        left, at_s = self._buckets.pop(caller, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        if len(self._buckets) >= self._callers:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[caller] = (left - 1 if left >= 1 else left, now_s)
        return left >= 1
