"""Figures of measured times, computed in one way wherever they are told."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(times: Sequence[float], part: float) -> float:
    """The time below which so large a `part` of them lies, never made smaller by rounding. There must be one."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
