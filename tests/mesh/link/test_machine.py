"""The state machine of a link: what is in its tables is allowed, everything else is refused, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import PeerError
from mesh.link.errors import (
    CreditExceeded,
    FrameOutOfSequence,
    FrameUnexpected,
    PeerSilent,
    RequestsExceeded,
    SegmentTooLarge,
    VersionUnsupported,
)
from mesh.link.frames import (
    Acknowledgement,
    Credit,
    Data,
    Frame,
    GoAway,
    Heartbeat,
    LaneEnd,
    LaneOpen,
    LaneOpened,
    LaneStatus,
    Proof,
    Reply,
    Request,
    Role,
)
from mesh.link.lane import Lane
from mesh.link.machine import KIND, MAX_REQUESTS, Link
from mesh.link.table import BESIDE, EXPORTING, IMPORTING, LINK, LaneState, LinkState
from mesh.segment import Segment, SegmentOutOfLine
from mesh.shares import StartAt
from mesh.spans import Span
from mesh.testing.clock import FakeClock
from mesh.testing.links import LinkPair, hello, linked_pair

TOPIC_ID = "0" * 32


def opening(number: int, credit_bytes: int = 10_000) -> LaneOpen:
    return LaneOpen(number, "flights", "departures", 0, StartAt(), credit_bytes=credit_bytes)


def segment(first: int, records: int = 1, ordinal: int | None = None, size_bytes: int = 10) -> Segment:
    number = first if ordinal is None else ordinal
    return Segment(first, first + records, number, (Span(first, records),), (b"b" * size_bytes,))


def frame_of(kind: str, lane: int = 1) -> Frame:
    """A frame of `kind` as the peer of a dialler may send it."""
    frames: dict[str, Frame] = {
        "hello": hello(),
        "proof": Proof((b"leaf",), b"signature"),
        "heartbeat": Heartbeat(),
        "go_away": GoAway("stopping"),
        "lane_open": opening(lane),
        "lane_opened": LaneOpened(lane, TOPIC_ID, 0, 0, 9, 9),
        "lane_end": LaneEnd(lane, "done"),
        "lane_status": LaneStatus(lane, 0, 9, 9),
        "credit": Credit(lane, 5),
        "acknowledgement": Acknowledgement(lane, 0),
        "request": Request(0, None),
        "reply": Reply(0, None),
        "data": Data(((lane, segment(0)),)),
    }
    return frames[kind]


def link_in(state: LinkState) -> Link:
    link = Link(hello(), dialler=True, now_s=0.0)
    if state is LinkState.NEW:
        return link
    link.greet()
    if state in {LinkState.PROVING, LinkState.OPEN, LinkState.DRAINING}:
        link.receive(0, hello("globex.example"), 0.0)
        link.prove(Proof((b"leaf",), b"signature"))
    if state in {LinkState.OPEN, LinkState.DRAINING}:
        link.receive(1, Proof((b"leaf",), b"signature"), 0.0)
    if state is LinkState.DRAINING:
        link.go_away("stopping")
    if state is LinkState.CLOSED:
        link.close()
    assert link.state is state
    return link


def sequence_in(link: Link) -> int:
    return link._expected_sequence


LANE_KINDS = {"lane_open", "lane_opened", "lane_end", "lane_status", "credit", "acknowledgement", "data"}
LIVE = {LinkState.OPEN, LinkState.DRAINING}


@pytest.mark.parametrize("kind", KIND.values())
@pytest.mark.parametrize("state", LinkState)
def test_a_received_frame_moves_the_link_by_its_table_or_is_refused(state: LinkState, kind: str) -> None:
    link = link_in(state)
    if kind == "reply" and state in LIVE:
        link.ask(None)
    after = LINK.get((state, f"< {kind}"))
    allowed = after is not None or kind in BESIDE[state] or (state in LIVE and kind == "lane_open")
    if allowed:
        link.receive(sequence_in(link), frame_of(kind), 0.0)
        assert link.state is (after or state)
    else:
        with pytest.raises(FrameUnexpected):
            link.receive(sequence_in(link), frame_of(kind), 0.0)
        assert link.state is state


SENDING: dict[str, Callable[[Link], object]] = {
    "hello": Link.greet,
    "proof": lambda link: link.prove(Proof((b"leaf",), b"signature")),
    "request": lambda link: link.ask(None),
    "reply": lambda link: link.reply(0, None),
    "lane_open": lambda link: link.open_lane(opening(link.next_lane())),
}


@pytest.mark.parametrize("kind", SENDING)
@pytest.mark.parametrize("state", LinkState)
def test_a_frame_of_ours_is_sent_by_the_table_or_refused(state: LinkState, kind: str) -> None:
    link = link_in(state)
    before = len(link.outgoing)
    allowed = (state, f"> {kind}") in LINK or kind in BESIDE[state] or (kind == "lane_open" and state is LinkState.OPEN)
    if allowed:
        SENDING[kind](link)
        assert len(link.outgoing) == before + 1
    else:
        with pytest.raises(FrameUnexpected):
            SENDING[kind](link)
        assert len(link.outgoing) == before


@pytest.mark.parametrize("importing", [True, False])
@pytest.mark.parametrize("direction", "<>")
@pytest.mark.parametrize("kind", sorted(LANE_KINDS))
@pytest.mark.parametrize("state", LaneState)
def test_a_lane_moves_by_its_table_or_not_at_all(state: LaneState, kind: str, direction: str, importing: bool) -> None:
    table = IMPORTING if importing else EXPORTING
    lane = Lane(opening(0), importing, state)
    after = table.get((state, f"{direction} {kind}"))
    if after is None:
        with pytest.raises(FrameUnexpected):
            lane.move(f"{direction} {kind}")
        assert lane.state is state
    else:
        lane.move(f"{direction} {kind}")
        assert lane.state is after


def opened_lane(pair: LinkPair, credit_bytes: int = 10_000) -> tuple[Lane, Lane]:
    """A lane that the acceptor imports: its end, and the dialler's."""
    importing = pair.acceptor.open_lane(opening(pair.acceptor.next_lane(), credit_bytes))
    pair.deliver_all()
    exporting = pair.dialler.lanes[importing.number]
    pair.dialler.opened(exporting, LaneOpened(exporting.number, TOPIC_ID, 0, 0, 99, 99))
    pair.deliver_all()
    return importing, exporting


def send(pair: LinkPair, exporting: Lane, *segments: Segment) -> None:
    for each in segments:
        pair.dialler.send_segment(exporting, each)
        pair.dialler.outgoing.append(Data(((exporting.number, each),)))


def test_both_ends_of_a_lane_keep_the_same_account() -> None:
    pair = linked_pair()
    importing, exporting = opened_lane(pair)
    send(pair, exporting, segment(0, 3), segment(3, 2))
    pair.deliver_all()
    pair.acceptor.send_on(importing, Credit(importing.number, 7))
    pair.acceptor.send_on(importing, Acknowledgement(importing.number, 4))
    pair.deliver_all()
    for lane in (importing, exporting):
        assert (lane.position, lane.ordinal, lane.acknowledged) == (5, 5, 4)
    assert importing.credit_bytes == exporting.credit_bytes == 10_007 - 2 * segment(0).weight_bytes
    assert repr(importing) == f"<Lane 1 importing open at 5 credit {importing.credit_bytes}>"


def test_credit_may_be_passed_by_one_segment_and_no_more() -> None:
    pair = linked_pair()
    importing, exporting = opened_lane(pair, credit_bytes=1)
    send(pair, exporting, segment(0, size_bytes=5000))
    pair.deliver_all()
    assert importing.credit_bytes < 0
    with pytest.raises(CreditExceeded):
        pair.dialler.send_segment(exporting, segment(1))
    pair.dialler.outgoing.append(Data(((exporting.number, segment(1)),)))
    with pytest.raises(CreditExceeded):
        pair.deliver_all()


def test_gaps_alone_take_credit_too() -> None:
    pair = linked_pair()
    importing, _ = opened_lane(pair)
    gap = Segment(0, 5, 0, (Span(0, 5),), ())
    importing.advance(gap)
    assert importing.credit_bytes == 10_000 - gap.weight_bytes < 10_000


@pytest.mark.parametrize(
    "bad",
    [
        segment(1),
        segment(0, ordinal=1),
        replace(segment(0), spans=(Span(0, 2),)),
        replace(segment(0), spans=()),
        Segment(0, 0, 0, (), ()),
    ],
)
def test_a_segment_that_does_not_follow_breaks_the_link(bad: Segment) -> None:
    pair = linked_pair()
    _, exporting = opened_lane(pair)
    pair.dialler.outgoing.append(Data(((exporting.number, bad),)))
    with pytest.raises(SegmentOutOfLine):
        pair.deliver_all()


def test_a_segment_larger_than_the_peers_frames_is_not_sent() -> None:
    pair = linked_pair(max_frame_bytes=70_000)
    _, exporting = opened_lane(pair)
    with pytest.raises(SegmentTooLarge):
        pair.dialler.send_segment(exporting, segment(0, size_bytes=70_000))
    assert exporting.position == 0


@pytest.mark.parametrize("offset", [2, -1])
def test_an_acknowledgement_never_goes_back_nor_beyond_what_was_sent(offset: int) -> None:
    pair = linked_pair()
    importing, exporting = opened_lane(pair)
    send(pair, exporting, segment(0))
    pair.deliver_all()
    pair.acceptor.send_on(importing, Acknowledgement(importing.number, 1))
    with pytest.raises(FrameUnexpected):
        pair.acceptor.send_on(importing, Acknowledgement(importing.number, offset))
    assert len(pair.acceptor.outgoing) == 1


@pytest.mark.parametrize("kind", ["lane_opened", "lane_status", "data", "lane_end"])
def test_what_is_under_way_when_we_end_a_lane_is_dropped(kind: str) -> None:
    pair = linked_pair()
    importing, exporting = opened_lane(pair)
    pair.acceptor.send_on(importing, LaneEnd(importing.number, "cancelled"))
    pair.acceptor.forget(importing)
    acted: list[Frame] = []
    pair.received = lambda link, frame: acted.append(frame)
    pair.dialler.outgoing.append(frame_of(kind, exporting.number))
    pair.write(pair.dialler)
    pair.deliver(pair.dialler)
    assert acted == []


def test_frames_of_a_lane_that_never_was_are_refused() -> None:
    for kind in LANE_KINDS - {"lane_open"}:
        for number in (0, 1, 2, 3):
            link = link_in(LinkState.OPEN)
            with pytest.raises(FrameUnexpected, match=f"of lane {number}"):
                link.receive(2, frame_of(kind, number), 0.0)


@pytest.mark.parametrize("number", [0, 2, 1])
def test_a_peer_opens_lanes_of_its_own_parity_and_none_twice(number: int) -> None:
    link = link_in(LinkState.OPEN)
    link.receive(2, opening(1), 0.0)
    with pytest.raises(FrameUnexpected, match="lane_open of lane"):
        link.receive(3, opening(number), 0.0)


def test_numbers_of_ended_lanes_are_not_used_again() -> None:
    link = link_in(LinkState.OPEN)
    link.receive(2, opening(5), 0.0)
    link.receive(3, LaneEnd(5, "cancelled"), 0.0)
    with pytest.raises(FrameUnexpected):
        link.receive(4, opening(3), 0.0)
    assert [link.next_lane() for _ in range(3)] == [0, 2, 4]


@pytest.mark.parametrize("roles", [frozenset(), frozenset([Role.EXPORTER])])
def test_only_importers_open_lanes_and_only_exporters_serve_them(roles: frozenset[Role]) -> None:
    pair = linked_pair(roles=roles)
    with pytest.raises(FrameUnexpected):
        pair.dialler.open_lane(opening(0))
    pair.dialler.outgoing.append(opening(0))
    with pytest.raises(FrameUnexpected, match="without the roles"):
        pair.deliver_all()


def test_a_link_that_drains_refuses_new_lanes_and_keeps_those_it_has() -> None:
    pair = linked_pair()
    importing, exporting = opened_lane(pair)
    pair.acceptor.outgoing.append(opening(3))
    pair.dialler.go_away("stopping")
    pair.write(pair.acceptor)
    pair.deliver(pair.acceptor)
    assert LaneEnd(3, "draining", "this gateway is going away", True) in pair.dialler.outgoing
    pair.dialler.outgoing = [frame for frame in pair.dialler.outgoing if isinstance(frame, GoAway)]
    send(pair, exporting, segment(0))
    pair.deliver_all()
    assert importing.position == 1
    with pytest.raises(FrameUnexpected):
        pair.acceptor.open_lane(opening(5))


@pytest.mark.parametrize("sequence", [0, 1, 3, 1 << 40])
def test_a_frame_out_of_sequence_breaks_the_link(sequence: int) -> None:
    with pytest.raises(FrameOutOfSequence):
        link_in(LinkState.OPEN).receive(sequence, Heartbeat(), 0.0)


def test_another_major_version_is_refused_and_another_minor_is_not() -> None:
    link = link_in(LinkState.GREETING)
    with pytest.raises(VersionUnsupported):
        link.receive(0, replace(hello(), major=2), 0.0)
    assert link_in(LinkState.GREETING).receive(0, replace(hello(), minor=9, features=("new",)), 0.0)


@pytest.mark.parametrize("changed", [{"nonce": bytes(15)}, {"max_frame_bytes": 1000}])
def test_a_hello_that_cannot_work_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(FrameUnexpected):
        link_in(LinkState.GREETING).receive(0, hello("globex.example", **changed), 0.0)


def test_a_peer_may_not_heap_up_requests() -> None:
    link = link_in(LinkState.OPEN)
    for number in range(MAX_REQUESTS):
        link.receive(2 + number, Request(number, None), 0.0)
    with pytest.raises(FrameUnexpected):
        link.receive(2 + MAX_REQUESTS, Request(0, None), 0.0)
    link.reply(0, None)
    link.receive(3 + MAX_REQUESTS, Request(0, None), 0.0)
    with pytest.raises(RequestsExceeded):
        link.receive(4 + MAX_REQUESTS, Request(999, None), 0.0)


def test_a_reply_answers_one_request_once() -> None:
    link = link_in(LinkState.OPEN)
    number = link.ask(None)
    assert link.receive(2, Reply(number, "yes"), 0.0)
    with pytest.raises(FrameUnexpected):
        link.receive(3, Reply(number, "again"), 0.0)


def test_heartbeats_are_sent_when_nothing_else_was_and_a_silent_peer_is_found() -> None:
    pair = linked_pair(heartbeat_ms=1000)
    clock, link = pair.clock, pair.dialler
    assert link.tick(clock()) == 1.0
    clock.advance(0.5)
    link.sent(clock())
    clock.advance(0.6)
    assert link.tick(clock()) == 1.5
    assert link.outgoing == []
    clock.advance(0.4)
    link.tick(clock())
    assert [type(frame) for frame in link.outgoing] == [Heartbeat]
    clock.advance(1.4)
    link.tick(clock())
    clock.advance(0.2)
    with pytest.raises(PeerSilent, match=r"3\.1 s"):
        link.tick(clock())


@given(now_s=st.floats(0, 100), silent=st.booleans())
def test_whoever_ticks_when_told_to_is_told_a_later_moment(now_s: float, silent: bool) -> None:
    """Else a driver whose clock stands at that moment ticks for ever."""
    link = Link(hello(heartbeat_ms=10_000), dialler=True, now_s=now_s)
    if not silent:
        link.greet()
        link.receive(0, hello(heartbeat_ms=10_000), now_s)
    for _ in range(5):
        try:
            due_s = link.tick(now_s)
        except PeerSilent:
            return
        assert due_s > now_s
        now_s = due_s
    pytest.fail("nobody was found silent")


def test_each_side_listens_at_the_pace_that_the_other_announced() -> None:
    clock = FakeClock()
    link = Link(hello(heartbeat_ms=1), dialler=True, now_s=clock())
    link.greet()
    link.receive(0, hello(heartbeat_ms=30_000), clock())
    clock.advance(89)
    link.tick(clock())
    clock.advance(1)
    with pytest.raises(PeerSilent):
        link.tick(clock())


def test_every_refusal_of_a_frame_is_the_peers_error() -> None:
    for error in (FrameUnexpected("a", "b"), FrameOutOfSequence(1, 2), CreditExceeded(1), RequestsExceeded(1)):
        assert isinstance(error, PeerError)
        assert str(error)
        assert error.remedy


def test_a_link_says_what_it_is() -> None:
    assert repr(link_in(LinkState.OPEN)) == "<Link dialler open lanes 0>"
