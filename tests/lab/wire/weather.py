"""What a network does to the bytes of one direction, as values, and what it did, as counters.

`Weather` is what is asked for, `damaged` decides by a seeded chance what becomes of each chunk, and `Counters` say what
really happened: a fault that was asked for and met no bytes has not struck. Offsets count the bytes that one
connection received in one direction, from 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from random import Random
from typing import TypeAlias

PIECE_BYTES = 16 << 10
"""Flips, copies and swaps act on pieces of this size at most: about a TLS record, so that several are under way."""


LATE_BYTES = 8 << 10
"""A connection that has passed so many bytes carries records: greetings of TLS, of HTTP/2 and of the link are over."""


class Way(StrEnum):
    TO_SERVER = "to-server"
    TO_CLIENT = "to-client"


CutPoint: TypeAlias = tuple[Way | None, int]
"""After so many bytes that way; None: whichever way they go first."""


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
    cuts_late: int = 0
    """Of these, those at `LATE_BYTES` or later."""
    half_open: int = 0

    def turned(self) -> Counters:
        """With the directions named from the other side."""
        found = replace(self)
        for name in ("bytes_passed", "bytes_lost", "bytes_held"):
            by_way = getattr(self, name)
            setattr(found, name, {Way.TO_SERVER: by_way[Way.TO_CLIENT], Way.TO_CLIENT: by_way[Way.TO_SERVER]})
        return found

    def told(self) -> dict[str, object]:
        """For a report."""
        return asdict(self)


def add(one: Counters, other: Counters) -> Counters:
    """The sum of two proxies' counters."""
    found = Counters()
    for each in fields(Counters):
        mine, theirs = getattr(one, each.name), getattr(other, each.name)
        found_sum = {way: mine[way] + theirs[way] for way in Way} if isinstance(mine, dict) else mine + theirs
        setattr(found, each.name, found_sum)
    return found


def damaged(data: bytes, offset: int, weather: Weather, chance: Random, counters: Counters) -> list[bytes]:
    """What is passed on, in this order, for `data` that was received at `offset`."""
    if not (weather.flip_at or weather.flip_chance or weather.double_chance or weather.swap_chance):
        return [data]
    pieces: list[bytes] = []
    for at in range(0, len(data), PIECE_BYTES):
        piece = _flipped(data[at : at + PIECE_BYTES], offset + at, weather, chance, counters)
        halves = [piece]
        if len(piece) > 1 and _falls(weather.swap_chance, chance):
            halves = [piece[len(piece) // 2 :], piece[: len(piece) // 2]]
            counters.swapped += 1
        if _falls(weather.double_chance, chance):
            halves.append(piece)
            counters.doubled += 1
        pieces += halves
    return pieces


def _flipped(piece: bytes, offset: int, weather: Weather, chance: Random, counters: Counters) -> bytes:
    places = [at - offset for at in weather.flip_at if offset <= at < offset + len(piece)]
    if _falls(weather.flip_chance, chance):
        places.append(chance.randrange(len(piece)))
    if not places:
        return piece
    changed = bytearray(piece)
    for place in places:
        changed[place] ^= 1 << chance.randrange(8)
    counters.flips += len(places)
    return bytes(changed)


def _falls(chance: float, source: Random) -> bool:
    return chance > 0 and source.random() < chance
