"""Pauses between attempts: doubling, with jitter so that many who failed together do not return together."""

from __future__ import annotations

from typing import Protocol


class UnitRandom(Protocol):
    def random(self) -> float:
        """A number in [0, 1)."""


class Backoff:
    """`next_s` answers between half of and the whole of initial_s, 2 x, 4 x … up to max_s; `reset` begins again."""

    def __init__(self, initial_s: float, max_s: float, random: UnitRandom) -> None:
        self._initial_s = initial_s
        self._max_s = max_s
        self._random = random
        self._failures = 0

    def next_s(self) -> float:
        # 2^30 times any sensible pause is beyond any sensible maximum: the exponent needs no more.
        ceiling_s = min(self._max_s, self._initial_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return ceiling_s * (0.5 + self._random.random() / 2)

    def reset(self) -> None:
        self._failures = 0
