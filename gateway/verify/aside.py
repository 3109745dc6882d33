"""Names the damage: records set aside because they found no partner, told apart by their digests.

A digest that is aside on both sides is a record out of order. What stays aside is settled at the end: an extra copy of
a record that the source has is a duplicate; an extra record that the source never had is an altered one, and
stands for one that is missing; the rest of the missing are lost. A record that the map does not claim is foreign,
unless it is a copy of a source record too: a second copy that the mirror forgot about is what we are here to find.
Memory is bounded: beyond `limit` what is aside is settled early, and beyond the history a duplicate is called altered
or foreign.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.verify.digests import DIGEST_BYTES
from gateway.verify.findings import Findings

ASIDE_LIMIT_RECORDS = 1 << 18
HISTORY_RECORDS = 1 << 18
"""4 MiB of digests: how far back a record may lie whose second copy is called a duplicate."""


class History:
    """The digests of the last source records, packed; sets are made only when damage makes us ask."""

    def __init__(self, limit: int = HISTORY_RECORDS) -> None:
        self._limit, self._count = limit, 0
        self._pages: deque[bytes | frozenset[bytes]] = deque()
        self._sizes: deque[int] = deque()

    def add(self, digests: Sequence[bytes]) -> None:
        self._pages.append(b"".join(digests))
        self._sizes.append(len(digests))
        self._count += len(digests)
        while self._count - self._sizes[0] >= self._limit:
            self._count -= self._sizes.popleft()
            self._pages.popleft()

    def __contains__(self, digest: bytes) -> bool:
        return any(digest in self._set(index) for index in range(len(self._pages) - 1, -1, -1))

    def _set(self, index: int) -> frozenset[bytes]:
        page = self._pages[index]
        if isinstance(page, bytes):
            page = frozenset(page[i : i + DIGEST_BYTES] for i in range(0, len(page), DIGEST_BYTES))
            self._pages[index] = page
        return page


class Aside:
    def __init__(self, findings: Findings, limit: int = ASIDE_LIMIT_RECORDS) -> None:
        self._findings, self._limit = findings, limit
        self._history = History()
        self._missing: dict[bytes, list[int]] = {}
        self._extra: dict[bytes, list[int]] = {}
        self._unclaimed: dict[bytes, list[int]] = {}
        self._unclaimed_count = 0
        self._known: set[bytes] = set()
        self._beside: dict[int, int] = {}
        self._count = 0

    def seen(self, digests: Sequence[bytes]) -> None:
        """Source records were read: what is extra may be a copy of one of them."""
        self._history.add(digests)
        if self._extra or self._unclaimed:
            read = set(digests)
            self._known |= self._extra.keys() & read
            self._known |= self._unclaimed.keys() & read

    def missing(self, offset: int, digest: bytes) -> None:
        """A source record without a partner."""
        if (places := self._extra.get(digest)) is not None:
            self._findings.note("reordered", offset, _pop(self._extra, digest, places))
            self._count -= 1
        else:
            self._put(self._missing, offset, digest)

    def extra(self, offset: int, digest: bytes, beside: int | None) -> None:
        """A destination record without a partner; `beside` is the source offset that its place suggests."""
        if (places := self._missing.get(digest)) is not None:
            self._findings.note("reordered", _pop(self._missing, digest, places), offset)
            self._count -= 1
            return
        if beside is not None:
            self._beside[offset] = beside
        if digest in self._history:
            self._known.add(digest)
        self._put(self._extra, offset, digest)

    def unclaimed(self, offset: int, digest: bytes) -> None:
        """A destination record that the map does not claim."""
        if digest in self._history:
            self._known.add(digest)
        self._unclaimed.setdefault(digest, []).append(offset)
        self._unclaimed_count += 1
        if self._unclaimed_count > self._limit:
            self._settle_unclaimed()

    def _settle_unclaimed(self) -> None:
        for offset, digest in sorted((o, digest) for digest, places in self._unclaimed.items() for o in places):
            self._findings.note("duplicated" if digest in self._known else "foreign", None, offset)
        self._unclaimed, self._unclaimed_count = {}, 0

    def _put(self, where: dict[bytes, list[int]], offset: int, digest: bytes) -> None:
        where.setdefault(digest, []).append(offset)
        self._count += 1
        if self._count > self._limit:
            self.settle()

    def settle(self) -> None:
        """Name everything that is aside."""
        self._settle_unclaimed()
        altered = sorted(o for digest, places in self._extra.items() if digest not in self._known for o in places)
        for offset in sorted(o for digest, places in self._extra.items() if digest in self._known for o in places):
            self._findings.note("duplicated", None, offset)
        replaced = {self._beside[offset] for offset in altered if offset in self._beside}
        for offset in altered:
            self._findings.note("altered", self._beside.get(offset), offset)
        missing = sorted(offset for places in self._missing.values() for offset in places)
        lost = max(0, len(missing) - len(altered))
        # Those that an altered record stands for come last, so that the evidence names the ones truly lost.
        for offset in sorted(missing, key=lambda offset: (offset in replaced, offset))[:lost]:
            self._findings.note("lost", offset, None)
        self._missing, self._extra, self._beside = {}, {}, {}
        self._known, self._count = set(), 0


def _pop(where: dict[bytes, list[int]], digest: bytes, places: list[int]) -> int:
    offset = places.pop(0)
    if not places:
        del where[digest]
    return offset
