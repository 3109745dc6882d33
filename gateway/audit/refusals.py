"""Refusals for the audit log, by peer and reason: the first at once, then how many more came, once a minute. Pure.

A peer that is refused a thousand times a second makes one entry and one more each minute.
"""

from __future__ import annotations

from typing import NamedTuple

PERIOD_S = 60.0
MAX_KINDS = 1000
"""Of peer and reason; both are few, unless somebody found a way to make them many."""
OTHERS = ("others", "others")


class Refused(NamedTuple):
    peer: str
    reason: str
    times: int


class RefusalTally:
    """`first` and `due` say what is to be written now."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def first(self, peer: str, reason: str, now_s: float) -> bool:
        """Count a refusal; True where it is to be written at once."""
        kind = (peer, reason)
        if kind not in self._since and len(self._since) >= MAX_KINDS:
            kind = OTHERS
        if kind in self._since:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            return False
        self._since[kind] = now_s
        return True

    def due(self, now_s: float) -> list[Refused]:
        """The counts of the periods that are over. A kind that was quiet for one is forgotten: its next is a first."""
        found: list[Refused] = []
        for kind, since_s in list(self._since.items()):
            if now_s - since_s < PERIOD_S:
                continue
            count = self._counts.pop(kind, 0)
            if count:
                found.append(Refused(*kind, count))
                self._since[kind] = now_s
            else:
                del self._since[kind]
        return found

    def rest(self) -> list[Refused]:
        """What was counted and not written, for the end."""
        counts, self._counts = self._counts, {}
        return [Refused(*kind, count) for kind, count in counts.items()]
