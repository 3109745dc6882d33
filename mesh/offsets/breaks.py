"""The breaks of an offset map, packed: 8 to 16 bytes each in memory, 16 bytes each in storage.

Breaks are appended, never changed, and keep their index for the life of the lane, so that what is stored needs no
rewriting; only a cut takes the last ones away, and gives their indices out again. They stand in chunks of two columns;
a full chunk is sealed: exact in size, relative to its first break, in four-byte numbers where they fit. In memory a
place is `destination_offset << 4 | reason`.

A. Source offsets rise strictly.
B. Destination offsets never fall (many gaps may share one). So "last break at or below" is a bisection both ways:
   among equal destinations the reasons are in no order, but no search looks between them.
C. One thread may append while others search: a break counts once `end` says so, and a chunk is sealed by replacing it.
   Forgetting and cutting need the table to themselves.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

OFFSET_LIMIT = 1 << 56
"""Offsets lie below it: the reason has the top byte of a stored place."""
RECORDS = 0
"""The reason of a break that begins a run."""
CHUNK = 4096
"""Breaks per chunk: large enough that a chunk's own 400 bytes vanish, small enough to seal in a millisecond."""

_REASON_BITS = 4
_REASON_MASK = (1 << _REASON_BITS) - 1
_NARROW_LIMIT = 1 << (8 * array("I").itemsize)
_PACKED = struct.Struct(">qq")
PACKED_BYTES = _PACKED.size


class Break(NamedTuple):
    """From `source_offset` on: records from `destination_offset`, or a gap before the copy expected there."""

    source_offset: int
    destination_offset: int
    reason: int


def pack(breaks: Iterable[Break]) -> bytes:
    """The stored form, big-endian: source offset, then destination offset with the reason in its top byte."""
    return b"".join(_PACKED.pack(source, reason << 56 | destination) for source, destination, reason in breaks)


def unpack(packed: bytes) -> Iterator[Break]:
    """Raises ValueError where `packed` is not a whole number of breaks."""
    if len(packed) % PACKED_BYTES:
        raise ValueError(f"{len(packed)} bytes are not a whole number of breaks")
    for source, place in _PACKED.iter_unpack(packed):
        yield Break(source, place & OFFSET_LIMIT - 1, place >> 56)


class _Chunk:
    """Two columns relative to two bases; the open chunk has bases of 0."""

    __slots__ = ("place_base", "places", "source_base", "sources")

    def __init__(self, sources: array[int], places: array[int], source_base: int = 0, place_base: int = 0) -> None:
        self.sources = sources
        self.places = places
        self.source_base = source_base
        self.place_base = place_base

    def sealed(self) -> _Chunk:
        source_base, place_base = self.sources[0], self.places[0] & ~_REASON_MASK
        return _Chunk(_narrow(self.sources, source_base), _narrow(self.places, place_base), source_base, place_base)

    def breaks(self, first: int) -> Iterator[Break]:
        for source, place in zip(self.sources[first:], self.places[first:], strict=False):
            yield _break(source + self.source_base, place + self.place_base)


def _break(source: int, place: int) -> Break:
    return Break(source, place >> _REASON_BITS, place & _REASON_MASK)


def _place(found: Break) -> int:
    return found.destination_offset << _REASON_BITS | found.reason


def _narrow(column: array[int], base: int) -> array[int]:
    # A list first: an array made from a sequence of known length is allocated exactly.
    relative = [value - base for value in column]
    return array("I" if max(relative) < _NARROW_LIMIT else "q", relative)


class BreakTable:
    """`first` is the index of the first break kept, `end` the index that the next one will get."""

    __slots__ = ("_chunks", "_origin", "_places", "_sources", "end", "first")

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.end = first
        self._origin = first
        self._chunks: list[_Chunk] = []
        self._sources = array("q")
        self._places = array("q")

    def append(self, source_offset: int, destination_offset: int, reason: int) -> None:
        place = destination_offset << _REASON_BITS | reason
        if (self.end - self._origin) % CHUNK == 0:
            self._chunks.append(_Chunk(array("q"), array("q")))
            self._sources.append(source_offset)
            self._places.append(place)
        chunk = self._chunks[-1]
        chunk.sources.append(source_offset)
        chunk.places.append(place)
        self.end += 1
        if len(chunk.sources) == CHUNK:
            self._chunks[-1] = chunk.sealed()

    def __getitem__(self, index: int) -> Break:
        assert self.first <= index < self.end, index
        number, within = divmod(index - self._origin, CHUNK)
        chunk = self._chunks[number]
        return _break(chunk.sources[within] + chunk.source_base, chunk.places[within] + chunk.place_base)

    def at_source(self, offset: int) -> int:
        """The index of the last break at or below the source offset; `first - 1` where there is none."""
        number = bisect_right(self._sources, offset) - 1
        if number < 0:
            return self.first - 1
        chunk = self._chunks[number]
        within = bisect_right(chunk.sources, offset - chunk.source_base) - 1
        return self._kept(self._origin + number * CHUNK + within)

    def at_destination(self, offset: int) -> int:
        """The index of the last break at or below the destination offset; `first - 1` where there is none."""
        place = offset << _REASON_BITS | _REASON_MASK
        number = bisect_right(self._places, place) - 1
        if number < 0:
            return self.first - 1
        chunk = self._chunks[number]
        within = bisect_right(chunk.places, place - chunk.place_base) - 1
        return self._kept(self._origin + number * CHUNK + within)

    def _kept(self, index: int) -> int:
        return min(max(index, self.first - 1), self.end - 1)

    def since(self, index: int) -> Iterator[Break]:
        """The breaks from `index` on (from the first kept, where that is later)."""
        number, within = divmod(max(index, self.first) - self._origin, CHUNK)
        for chunk in self._chunks[number:]:
            yield from chunk.breaks(within)
            within = 0

    def forget(self, before: int) -> None:
        """Drop the breaks below index `before`; memory is given back by whole chunks."""
        assert self.first <= before <= self.end, before
        self.first = before
        whole = (before - self._origin) // CHUNK
        del self._chunks[:whole], self._sources[:whole], self._places[:whole]
        self._origin += whole * CHUNK

    def cut(self, end: int) -> None:
        """Drop the breaks from index `end` on; the next one appended gets that index."""
        assert self.first <= end <= self.end, end
        whole, within = divmod(end - self._origin, CHUNK)
        if within:
            kept = [found for found, _ in zip(self._chunks[whole].breaks(0), range(within), strict=False)]
            sources = array("q", [found.source_offset for found in kept])
            self._chunks[whole] = _Chunk(sources, array("q", map(_place, kept)))
            whole += 1
        del self._chunks[whole:], self._sources[whole:], self._places[whole:]
        self.end = end
