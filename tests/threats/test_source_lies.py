"""Threat 19: a source that says what cannot be of its offsets gets nothing appended; a gap passes, and is recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.link.lanes import ExportLane
from gateway.link.session import Session
from mesh.lanes.checkpoint import load_lane, prefix
from mesh.log import LogRange
from mesh.offsets.answers import Exact, InGap
from mesh.segment import Segment
from mesh.spans import GapReason, Span
from mesh.testing.clock import run
from tests.support.mirror import FROM, LANE, TO, Mirror, dense, destination, mirroring, source_of

LOG = dense(6)
END = 18
RANGE = LogRange(0, END, END)


def batch(number: int) -> bytes:
    """Three records, which the source has at the offsets from 3 * number on."""
    return bytes(LOG.batches[number].data)


HONEST = Segment(0, 3, 0, (Span(0, 3),), (batch(0),))
LIES = {
    "repeat": replace(HONEST, first_ordinal=3),
    "repeat, as if it were new": HONEST,
    "overlap": Segment(2, 5, 3, (Span(2, 3),), (batch(1),)),
    "rewind": Segment(1, 4, 3, (Span(1, 3),), (batch(1),)),
    "hole that nothing explains": Segment(6, 9, 3, (Span(6, 3),), (batch(2),)),
    "hole in the middle": Segment(3, 9, 3, (Span(3, 1), Span(7, 2)), (batch(1),)),
    "offsets told twice": Segment(3, 6, 3, (Span(3, 3), Span(3, 3, GapReason.COMPACTED)), (batch(1),)),
    "records that are not there": Segment(3, 7, 3, (Span(3, 4),), (batch(1),)),
    "records left unsaid": Segment(3, 5, 3, (Span(3, 2),), (batch(1),)),
    "ordinals ahead": Segment(3, 6, 9, (Span(3, 3),), (batch(1),)),
    "ordinals behind": Segment(3, 6, 0, (Span(3, 3),), (batch(1),)),
}
GAP = Segment(3, 12, 3, (Span(3, 6, GapReason.COMPACTED), Span(9, 3)), (batch(3),))


def send(session: Session, lane: ExportLane, segment: Segment) -> None:
    """Past the account that an honest exporter keeps of what it has sent."""
    session._data.add(lane._lane.number, segment)
    session._wake.set()


class Liar:
    """Sends what it should up to offset 3, and then `lie`, however often it is asked."""

    def __init__(self, lie: Segment) -> None:
        self.lie = lie
        self.told = 0

    async def __call__(self, session: Session, lane: ExportLane) -> None:
        start = lane.opening.start.value
        lane.open("0" * 32, start, RANGE)
        if start == 0:
            send(session, lane, HONEST)
        # Ordinals count from where the lane was opened.
        told = self.lie if start == 0 else replace(self.lie, first_ordinal=max(0, self.lie.first_ordinal - 3))
        send(session, lane, told)
        self.told += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize("lie", LIES)
def test_what_cannot_be_is_not_appended(lie: str) -> None:
    async def scenario() -> None:
        fake, liar = await destination(), Liar(LIES[lie])
        async with mirroring(Mirror(await source_of(LOG), fake.ports, export=liar)) as mirror:
            await mirror.until(lambda _: liar.told > 2 or fake.log(TO).end > 3 or bool(mirror.runner.status().code))
        assert fake.log(TO).end in {0, 3}, "it was appended"
        stored = load_lane(LANE, await fake.ports.lanes.load(prefix(LANE)))
        assert stored is None or stored[0].source_position <= 3

    run(scenario())


def test_a_gap_passes_and_is_recorded() -> None:
    async def scenario() -> None:
        fake, liar = await destination(), Liar(GAP)
        async with mirroring(Mirror(await source_of(LOG), fake.ports, export=liar)) as mirror:
            await mirror.until(lambda status: status.source_position == 12)
        assert fake.log(TO).end == 6
        stored = load_lane(LANE, await fake.ports.lanes.load(prefix(LANE)))
        assert stored is not None
        offset_map = stored[1]
        assert [offset_map.translate(offset) for offset in range(3, 9)] == [InGap(GapReason.COMPACTED, 3)] * 6
        assert [offset_map.translate(offset) for offset in (2, 9)] == [Exact(2), Exact(3)]

    run(scenario())


def test_the_stage_of_the_liar_is_one_on_which_the_truth_is_copied() -> None:
    """Otherwise nothing would be appended, whatever is sent."""

    async def scenario() -> None:
        fake, honest = await destination(), Liar(Segment(3, 6, 3, (Span(3, 3),), (batch(1),)))
        async with mirroring(Mirror(await source_of(LOG), fake.ports, export=honest)) as mirror:
            await mirror.until(lambda status: status.source_position == 6)
        assert fake.log(TO).end == 6
        assert mirror.source.log(FROM).end == END

    run(scenario())
