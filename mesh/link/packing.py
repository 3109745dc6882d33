"""When it pays to compress a lane's batches for the way: by trying, and giving up where it does not.

A segment pays if it becomes a fifth smaller. One that does not puts the next attempt off by 16 MiB of the lane, and by
twice as much each time, up to 1 GiB: a topic of compressed batches costs next to nothing, and one whose producers
change their minds is noticed.
"""

from __future__ import annotations

ENOUGH = 0.8
FIRST_PAUSE_BYTES, LONGEST_PAUSE_BYTES = 16 << 20, 1 << 30
SMALL_BYTES = 512
"""Below it nothing is gained on the way: a frame has more around it."""


class Packing:
    """Of one lane."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE_BYTES
        self._left = 0

    def __repr__(self) -> str:
        return f"<Packing pauses for {self._left}>" if self._left else "<Packing on>"

    def wants(self, size_bytes: int) -> bool:
        """Whether the next segment, of so many bytes, shall be tried."""
        if size_bytes < SMALL_BYTES:
            return False
        if not self._left:
            return True
        self._left = max(0, self._left - size_bytes)
        return False

    def tried(self, size_bytes: int, packed_bytes: int) -> bool:
        """Whether the outcome is worth sending."""
        if packed_bytes <= ENOUGH * size_bytes:
            self._pause = FIRST_PAUSE_BYTES
            return True
        self._left, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE_BYTES)
        return False
