"""Finds what two sequences of digests have in common, in order: the pairs of a longest common subsequence.

Small sequences are aligned exactly (Myers' O(ND) algorithm). Long ones are first cut at records that occur once in
both (the longest rising chain of them), which is exact for all but repeated content, and costs n log n.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

Pairs: TypeAlias = list[tuple[int, int]]

EXACT_RECORDS = 400
"""Up to this many records in both together the exact algorithm is used: its worst case is then 40 ms."""


def align(a: Sequence[bytes], b: Sequence[bytes]) -> Pairs:
    """Pairs (i, j), rising in both, with a[i] == b[j]."""
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    pairs = [(i, i) for i in range(head)]
    pairs += [(i + head, j + head) for i, j in _align_rest(a[head:], b[head:])]
    return pairs


def _align_rest(a: Sequence[bytes], b: Sequence[bytes]) -> Pairs:
    if not a or not b:
        return []
    if len(a) + len(b) <= EXACT_RECORDS:
        return _myers(a, b)
    anchors = _rising(_unique_pairs(a, b))
    if not anchors:
        return []
    pairs: Pairs = []
    i, j = 0, 0
    for x, y in [*anchors, (len(a), len(b))]:
        # A stretch between anchors may be long, but it is shorter than the whole: the depth is bounded.
        if x > i and y > j:
            pairs += [(p + i, q + j) for p, q in align(a[i:x], b[j:y])]
        if x < len(a) or y < len(b):
            pairs.append((x, y))
        i, j = x + 1, y + 1
    return pairs


def _unique_pairs(a: Sequence[bytes], b: Sequence[bytes]) -> Pairs:
    once_b = {key for key, count in Counter(b).items() if count == 1}
    place_b = {key: j for j, key in enumerate(b) if key in once_b}
    once_a = {key for key, count in Counter(a).items() if count == 1}
    return [(i, place_b[key]) for i, key in enumerate(a) if key in place_b and key in once_a]


def _rising(pairs: Pairs) -> Pairs:
    """The longest chain of `pairs`, which rise in the first place, that rises in the second too."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        place = bisect_left(tails, j)
        before.append(ends[place - 1] if place else -1)
        if place == len(tails):
            tails.append(j)
            ends.append(index)
        else:
            tails[place] = j
            ends[place] = index
    chain: Pairs = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]


def _myers(a: Sequence[bytes], b: Sequence[bytes]) -> Pairs:
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    for edits in range(len(a) + len(b) + 1):
        trace.append(furthest.copy())
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])
            x = furthest[k + 1] if down else furthest[k - 1] + 1
            y = x - k
            while x < len(a) and y < len(b) and a[x] == b[y]:
                x, y = x + 1, y + 1
            furthest[k] = x
            if x >= len(a) and y >= len(b):
                return _walk_back(trace, len(a), len(b))
    raise AssertionError("so many edits always suffice")


def _walk_back(trace: list[dict[int, int]], x: int, y: int) -> Pairs:
    pairs: Pairs = []
    for edits in range(len(trace) - 1, -1, -1):
        furthest, k = trace[edits], x - y
        down = k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])
        from_k = k + 1 if down else k - 1
        from_x = furthest[from_k]
        from_y = from_x - from_k
        while x > max(from_x, 0) and y > max(from_y, 0):
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = from_x, from_y
    return pairs[::-1]
