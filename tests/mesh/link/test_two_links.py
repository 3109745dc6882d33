"""Two links driven against each other by arbitrary legal actions, with arbitrary delays: they never disagree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.link.frames import Acknowledgement, Credit, Data, Frame, LaneEnd, LaneOpen, LaneOpened, LaneStatus
from mesh.link.lane import Lane
from mesh.link.machine import Link
from mesh.link.outgoing import DataQueue, coalesce
from mesh.link.table import LaneState
from mesh.segment import Segment
from mesh.shares import StartAt
from mesh.spans import GapReason, Span
from mesh.testing.links import linked_pair


class World:
    """Both sides import and export; the writer of each coalesces and fills frames as a session does."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw: Callable[[int, int], int] = lambda least, most: data.draw(st.integers(least, most))
        self.pair = linked_pair()
        self.pair.received = self.act
        self.links = (self.pair.dialler, self.pair.acceptor)
        self.queues = {link.dialler: DataQueue() for link in self.links}
        self.got: dict[tuple[bool, int], list[Segment]] = defaultdict(list)
        self.sent: dict[tuple[bool, int], list[Segment]] = defaultdict(list)
        self.endings: set[int] = set()

    def act(self, link: Link, frame: Frame) -> None:
        if isinstance(frame, Data):
            for number, segment in frame.segments:
                if number in link.lanes:
                    self.got[link.dialler, number].append(segment)
        elif isinstance(frame, LaneEnd):
            self.queues[link.dialler].drop(frame.lane)
            link.forget(link.lanes[frame.lane])

    def lanes(self, link: Link, *, importing: bool, state: LaneState) -> list[Lane]:
        return [lane for lane in link.lanes.values() if lane.importing is importing and lane.state is state]

    def step(self) -> None:
        link = self.links[self.draw(0, 1)]
        actions = [self.open, self.answer, self.send, self.send, self.send, self.credit, self.acknowledge]
        actions += [self.end, self.status, self.write, self.write, self.deliver, self.deliver]
        actions[self.draw(0, len(actions) - 1)](link)

    def pick(self, lanes: list[Lane]) -> Lane | None:
        return lanes[self.draw(0, len(lanes) - 1)] if lanes else None

    def open(self, link: Link) -> None:
        if len(link.lanes) < 6:
            credit = self.draw(0, 400)
            link.open_lane(LaneOpen(link.next_lane(), "s", "t", 0, StartAt(), credit_bytes=credit))

    def answer(self, link: Link) -> None:
        if lane := self.pick(self.lanes(link, importing=False, state=LaneState.ASKED)):
            link.opened(lane, LaneOpened(lane.number, "0" * 32, self.draw(0, 50), 0, 99, 99))

    def send(self, link: Link) -> None:
        lane = self.pick(self.lanes(link, importing=False, state=LaneState.OPEN))
        if lane is None or lane.credit_bytes <= 0:
            return
        first, count = lane.position, self.draw(1, 5)
        is_gap = self.draw(0, 3) == 0
        spans = (Span(first, count, GapReason.ABORTED if is_gap else None),)
        batches = () if is_gap else (b"b" * self.draw(1, 200),)
        segment = Segment(first, first + count, lane.ordinal, spans, batches)
        link.send_segment(lane, segment)
        assert lane.credit_bytes > -segment.weight_bytes  # L3
        self.queues[link.dialler].add(lane.number, segment)
        self.sent[link.dialler, lane.number].append(segment)

    def credit(self, link: Link) -> None:
        if lane := self.pick(self.lanes(link, importing=True, state=LaneState.OPEN)):
            link.send_on(lane, Credit(lane.number, self.draw(0, 300)))

    def acknowledge(self, link: Link) -> None:
        if lane := self.pick(self.lanes(link, importing=True, state=LaneState.OPEN)):
            link.send_on(lane, Acknowledgement(lane.number, self.draw(max(lane.acknowledged, 0), lane.position)))

    def status(self, link: Link) -> None:
        if lane := self.pick(self.lanes(link, importing=False, state=LaneState.OPEN)):
            link.send_on(lane, LaneStatus(lane.number, 0, 99, 99))

    def end(self, link: Link) -> None:
        if self.draw(0, 3) == 0 and (lane := self.pick(list(link.lanes.values()))):
            link.send_on(lane, LaneEnd(lane.number, "done"))
            link.forget(lane)
            self.queues[link.dialler].drop(lane.number)
            self.endings.add(lane.number)

    def write(self, link: Link) -> None:
        link.outgoing = coalesce(link.outgoing)
        queue = self.queues[link.dialler]
        while queue:
            link.outgoing.append(queue.take(500))
        self.pair.write(link)

    def deliver(self, link: Link) -> None:
        for _ in range(min(self.draw(1, 4), self.pair.under_way(link))):
            self.pair.deliver(link)

    def finish(self) -> None:
        for _ in range(2):  # what arrives makes nothing new but the ends of lanes
            for link in self.links:
                self.write(link)
            for link in self.links:
                while self.pair.under_way(link):
                    self.pair.deliver(link)

    def check(self) -> None:
        dialler, acceptor = self.links
        assert dialler.lanes.keys() == acceptor.lanes.keys()
        for number, lane in dialler.lanes.items():
            other = acceptor.lanes[number]
            assert lane.importing is not other.importing
            assert (lane.state, lane.position, lane.ordinal) == (other.state, other.position, other.ordinal)
            assert (lane.credit_bytes, lane.acknowledged) == (other.credit_bytes, other.acknowledged)
        for (side, number), got in self.got.items():
            sent = self.sent[not side, number]
            assert [_bytes(each) for each in got] == [_bytes(each) for each in sent[: len(got)]]  # L2
            assert len(got) == len(sent) or number in self.endings


def _bytes(segment: Segment) -> tuple[object, ...]:
    return segment.first_source_offset, segment.spans, tuple(bytes(batch) for batch in segment.batches)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_two_links_do_they_agree_in_the_end(data: st.DataObject) -> None:
    world = World(data)
    for _ in range(world.draw(0, 60)):
        world.step()
    world.finish()
    world.check()
