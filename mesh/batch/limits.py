"""What we accept of a batch that somebody else made."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    max_batch_bytes: int = 16 * MIB
    max_records: int = 1_000_000
    max_uncompressed_bytes: int = 40 * MIB
    """With what the libraries keep beside it (lz4: 18 MiB) a refused batch costs less than 64 MiB."""
    max_ratio: int = 1024
    """Uncompressed to compressed bytes; honest data seldom passes 100."""
    free_inflation_bytes: int = 4 * MIB
    """Up to here the ratio is not asked: a small batch of equal records may compress by any factor."""
    max_window_bytes: int = 8 * MIB
    """What a zstd stream may ask its reader to remember; RFC 8878 names 8 MiB, levels up to 19 need no more."""

    def inflated(self, compressed_bytes: int) -> int:
        """How many bytes `compressed_bytes` may become."""
        by_ratio = max(self.free_inflation_bytes, compressed_bytes * self.max_ratio)
        return min(self.max_uncompressed_bytes, by_ratio)


DEFAULT_LIMITS = Limits()
