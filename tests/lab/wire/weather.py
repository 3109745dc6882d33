"""What a network does to the bytes of one direction, as values, and what it did, as counters.

`Weather` is what is asked for, `Damage` decides by a seeded chance what becomes of each chunk, and `Counters` say what
really happened: a fault that was asked for and met no bytes has not struck. Offsets count the bytes that one
connection received in one direction, from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from random import Random

SEGMENT_BYTES = 16 << 10
"""Flips, copies and swaps act on pieces of this size at most: about a TLS record, so that several are under way."""


class Way(StrEnum):
    TO_SERVER = "to-server"
    TO_CLIENT = "to-client"


class End(StrEnum):
    RESET = "reset"
    """RST: what is under way is lost at both sides."""
    CLOSE = "close"
    """FIN, after what was under way."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Of one direction; everything at rest is a plain wire. Chances are of each piece, 0 to 1."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much more; order is kept."""
    bytes_per_s: float = 0.0
    """0: as fast as it goes."""
    slice_bytes: int = 0
    """The most that is written at once; 0: as it comes."""
    is_held: bool = False
    """Nothing passes, and nothing is taken: what TCP makes of a partition that heals."""
    is_lost: bool = False
    """Bytes are taken and vanish."""
    flip_chance: float = 0.0
    double_chance: float = 0.0
    swap_chance: float = 0.0
    flip_at: frozenset[int] = frozenset()
    """A bit of the byte at each of these offsets of every connection."""
    cut_at: int = -1
    """The connection ends when it has passed so many bytes; -1: never."""
    cut_by: End = End.RESET
    close_after_s: float = 0.0
    """An end of stream is passed on so much later."""


CALM = Weather()


@dataclass(slots=True)
class Counters:
    """What was done since the start."""

    connections: int = 0
    refused: int = 0
    bytes_passed: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    bytes_lost: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    bytes_late: int = 0
    """That waited for their latency."""
    bytes_held: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    """That were taken before the wire was held and waited for it, at most a buffer of each connection."""
    flips: int = 0
    doubled: int = 0
    swapped: int = 0
    sliced: int = 0
    resets: int = 0
    resets_under_way: int = 0
    """Of these, those that struck within 50 ms of bytes passing, or with bytes under way."""
    cuts: int = 0

    def told(self) -> dict[str, object]:
        """For a report."""
        return asdict(self)


@dataclass(slots=True)
class Damage:
    """What becomes of the pieces of one direction of one connection."""

    chance: Random
    counters: Counters
    _held_back: bytes = b""

    def pieces(self, data: bytes, offset: int, weather: Weather) -> Iterator[bytes]:
        """What is to be passed on, in this order, for `data` that was received at `offset`."""
        for at in range(0, len(data), SEGMENT_BYTES):
            yield from self._piece(data[at : at + SEGMENT_BYTES], offset + at, weather)
        # what waits for the next one goes with this chunk: a swap must not stop a connection that is waited for
        if self._held_back:
            yield self._take_back()

    def _piece(self, piece: bytes, offset: int, weather: Weather) -> Iterator[bytes]:
        piece = self._flipped(piece, offset, weather)
        if self._falls(weather.swap_chance):
            halves = (
                [piece] if self._held_back or len(piece) < 2 else [piece[: len(piece) // 2], piece[len(piece) // 2 :]]
            )
            self.counters.swapped += 1
            yield from reversed(halves)
            if len(halves) == 1 and self._held_back:
                yield self._take_back()
            return
        yield piece
        if self._falls(weather.double_chance):
            self.counters.doubled += 1
            yield piece

    def _take_back(self) -> bytes:
        piece, self._held_back = self._held_back, b""
        return piece

    def _flipped(self, piece: bytes, offset: int, weather: Weather) -> bytes:
        return piece

    def _falls(self, chance: float) -> bool:
        return chance > 0 and self.chance.random() < chance
