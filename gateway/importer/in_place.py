"""State that goes with an append, only where every append of the run before it has gone where it had to.

The entries of an append speak for all before it. In a log that lost its end, one may land elsewhere and a later one
still in its place: others wrote just as many records as were lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from mesh.ports import StateOf

Entries: TypeAlias = Mapping[str, bytes | None]


class InPlace:
    """Of one run of a lane."""

    def __init__(self) -> None:
        self._holds = True

    def __repr__(self) -> str:
        return f"<InPlace {self._holds}>"

    def state(self, base_offset: int, entries: Entries) -> StateOf:
        """For an append that must go to `base_offset`; the destination asks in the order of its log."""

        def landed(offset: int) -> Entries:
            self._holds = self._holds and offset == base_offset
            return entries if self._holds else {}

        return landed
