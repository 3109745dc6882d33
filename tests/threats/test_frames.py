"""Threat 18: a relay between the gateways, where TLS has ended, replays, drops, swaps, changes and mixes up frames.

Each frame of a link is dealt with in each way, in both directions. The link must end with the reason, the next one
must bring the rest, and the copy must be exact with every translation: nothing was appended that should not have been.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import cast

import pytest

from mesh.link.seal import SEALED
from mesh.testing.clock import run
from mesh.testing.streams import StreamEnd
from tests.support.mirror import Mirror, destination, holey, mirroring, source_of
from tests.support.sessions import Side, joined
from tests.support.source_log import SourceLog

Deal = Callable[[int, bytes], list[bytes]]
"""(number, frame) -> what is delivered in its place."""


def as_it_is(number: int, frame: bytes) -> list[bytes]:
    return [frame]


@dataclass
class Relay:
    """What a gateway reads through: another's hands. Keeps what came, as it came."""

    stream: StreamEnd
    deal: Deal
    came: list[bytes] = field(default_factory=list)
    _ready: list[bytes] = field(default_factory=list)

    async def read(self) -> bytes | None:
        while not self._ready:
            frame = await self.stream.read()
            if frame is None:
                return None
            self.came.append(frame)
            self._ready = self.deal(len(self.came) - 1, frame)
        return self._ready.pop(0)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


@dataclass
class Behind(Side):
    """A side behind a relay."""

    deal: Deal = as_it_is

    def make(self, stream: StreamEnd) -> None:
        super().make(cast(StreamEnd, Relay(stream, self.deal)))

    @property
    def came(self) -> list[bytes]:
        return cast(Relay, self.stream).came


@dataclass
class Relayed(Mirror):
    """The first link goes through a relay, which deals with what one side reads; the others are left alone."""

    deal: Deal = as_it_is
    to_importer: bool = True
    features: tuple[str, ...] = (SEALED,)
    first: tuple[Behind, Behind] | None = None

    async def keep_linking(self) -> None:
        while True:
            hello: dict[str, object] = {"features": self.features, "nonce": next(_NONCES).to_bytes(32, "big")}
            deals: list[Deal] = [as_it_is, as_it_is]
            if self.first is None:
                deals[self.to_importer] = self.deal
            exporter, importer = (
                Behind(True, export=self._export, hello=hello, deal=deals[0]),
                Behind(False, hello=hello, deal=deals[1]),
            )
            self.first = self.first or (exporter, importer)
            async with joined(exporter, importer) as self.pair:
                self.links_made += 1
                await self.pair.open()
                self.change()
                await self.pair.over()
            await asyncio.sleep(0.5)

    @property
    def reason(self) -> str:
        """By which the side behind the relay ended the first link, empty while it goes on."""
        assert self.first is not None
        error = self.first[self.to_importer].error
        return error.code if error is not None else ""


BATCHES = 12
_NONCES = count(1)
GREETING = 2
"""Hello and proof: what is done to them is threat 17."""


def mirrored(mirror: Relayed, log: SourceLog, until: Callable[[Relayed], bool]) -> Relayed:
    """The mirror runs until all is copied and `until` holds, and is judged."""

    async def scenario() -> None:
        mirror.source, mirror.log = await source_of(log), log
        mirror.destination = (await destination()).ports
        async with mirroring(mirror):
            await mirror.until_copied()
            await mirror.until(lambda _: until(mirror))
        await mirror.check(log)

    run(scenario())
    return mirror


def relayed(deal: Deal, to_importer: bool, features: tuple[str, ...] = (SEALED,)) -> Relayed:
    nowhere = cast(Mirror, None)
    made = Relayed(nowhere, nowhere, deal=deal, to_importer=to_importer, features=features)  # type: ignore[arg-type]
    return mirrored(made, holey(BATCHES), lambda mirror: bool(mirror.reason))


@pytest.fixture(scope="module")
def honest() -> tuple[list[bytes], list[bytes]]:
    """What an exporter and an importer read on a link without a relay's deeds, two heartbeats included."""
    nowhere = cast(Mirror, None)
    made = Relayed(nowhere, nowhere)  # type: ignore[arg-type]
    log = holey(BATCHES)
    beats = mirrored(made, log, lambda mirror: mirror.first is not None and len(mirror.first[1].came) > BATCHES + 4)
    assert beats.first is not None
    return beats.first[0].came, beats.first[1].came


def twice(at: int) -> Deal:
    return lambda number, frame: [frame, frame] if number == at else [frame]


def dropped(at: int) -> Deal:
    return lambda number, frame: [] if number == at else [frame]


def swapped(at: int) -> Deal:
    held: list[bytes] = []

    def deal(number: int, frame: bytes) -> list[bytes]:
        if number == at:
            held.append(frame)
            return []
        return [frame, held.pop()] if held else [frame]

    return deal


def again_later(at: int) -> Deal:
    """An earlier frame, once more."""
    seen: list[bytes] = []

    def deal(number: int, frame: bytes) -> list[bytes]:
        seen.append(frame)
        return [frame, seen[at // 2]] if number == at else [frame]

    return deal


IN_ORDER = {"twice": twice, "dropped": dropped, "swapped": swapped, "again later": again_later}


def numbers(frames: list[bytes]) -> Iterator[int]:
    yield from range(GREETING, min(len(frames) - 1, 12))


@pytest.mark.parametrize("to_importer", [True, False], ids=["to the importer", "to the exporter"])
@pytest.mark.parametrize("how", IN_ORDER)
def test_a_frame_out_of_its_order_ends_the_link(
    how: str, to_importer: bool, honest: tuple[list[bytes], list[bytes]]
) -> None:
    for at in numbers(honest[to_importer]):
        assert relayed(IN_ORDER[how](at), to_importer).reason == "frame-out-of-sequence", (how, at)


def replaced(at: int, by: bytes) -> Deal:
    return lambda number, frame: [by] if number == at else [frame]


def changed(at: int, place: float, bit: int) -> Deal:
    def change(frame: bytes) -> bytes:
        where = min(int(len(frame) * place), len(frame) - 1)
        return frame[:where] + bytes((frame[where] ^ 1 << bit,)) + frame[where + 1 :]

    return lambda number, frame: [change(frame)] if number == at else [frame]


@pytest.mark.parametrize("to_importer", [True, False], ids=["to the importer", "to the exporter"])
@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_changed_frame_ends_the_link(
    place: float, to_importer: bool, honest: tuple[list[bytes], list[bytes]]
) -> None:
    for at in numbers(honest[to_importer]):
        assert relayed(changed(at, place, at % 8), to_importer).reason == "frame-altered", at


@pytest.mark.parametrize("to_importer", [True, False], ids=["to the importer", "to the exporter"])
def test_a_frame_of_another_link_or_of_the_other_direction_ends_the_link(
    to_importer: bool, honest: tuple[list[bytes], list[bytes]]
) -> None:
    """With the right number for its place, and right for all else that the frame says of itself."""
    stale, back = honest[to_importer], honest[not to_importer]
    for other in (stale, back):
        for at in numbers(other):
            assert relayed(replaced(at, other[at]), to_importer).reason == "frame-altered", at


def test_a_cut_frame_ends_the_link(honest: tuple[list[bytes], list[bytes]]) -> None:
    for at in numbers(honest[True]):
        for size in (0, 1, -1):
            assert relayed(replaced(at, honest[True][at][:size]), True).reason == "frame-altered", (at, size)


def test_with_one_who_knows_no_seals_the_numbers_still_hold(honest: tuple[list[bytes], list[bytes]]) -> None:
    """And the records, by their batch's own checksum; what lies beside them is as safe as TLS makes it."""
    for at in numbers(honest[True]):
        assert relayed(dropped(at), True, features=()).reason == "frame-out-of-sequence"
