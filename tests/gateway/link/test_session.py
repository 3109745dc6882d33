"""Sessions as pairs joined in memory: what they promise their lanes, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.link.lanes import ExportLane, ImportLane
from gateway.link.session import Session
from mesh.errors import MeshError
from mesh.link.errors import FrameUnexpected, LaneEnded, LinkLost, PeerSilent
from mesh.link.features import JOINED, PACKED
from mesh.link.frames import Acknowledgement, Heartbeat, LaneOpen
from mesh.log import LogRange
from mesh.segment import Segment
from mesh.shares import StartAt
from mesh.spans import Span
from mesh.testing.clock import run
from mesh.testing.streams import Faults
from mesh.wire.codec import encode_frame
from mesh.wire.v1 import catalog_pb2
from tests.support.sessions import LIMITS, Pair, Side, joined

TOPIC_ID = "0" * 32
FULL = LogRange(0, 1 << 20, 1 << 20)
BATCH = b"b" * 1000


def opening(number: int, topic: str = "departures", credit_bytes: int = 1 << 20) -> LaneOpen:
    return LaneOpen(number, "flights", topic, 0, StartAt(), credit_bytes=credit_bytes)


def open_lane(side: Side, topic: str = "departures", credit_bytes: int = 1 << 20) -> ImportLane:
    return side.session.open_lane(lambda number: opening(number, topic, credit_bytes))


def segment(number: int, size_bytes: int = 1000) -> Segment:
    return Segment(number, number + 1, number, (Span(number, 1),), (b"b" * size_bytes,))


async def read_on(lane: ImportLane) -> None:
    while True:
        await lane.next()


async def serve_everything(session: Session, lane: ExportLane) -> None:
    """Segments of one record each, without end."""
    lane.open(TOPIC_ID, 0, FULL)
    for number in range(1 << 20):
        await lane.send(segment(number))


def test_two_sessions_greet_and_know_each_other() -> None:
    async def scenario() -> None:
        async with joined() as pair:
            await pair.open()
            assert str(pair.dialler.session.peer) == "spiffe://globex.example/gateway/one"
            assert str(pair.acceptor.session.peer) == "spiffe://acme.example/gateway/one"
            assert pair.dialler.session.is_open
            assert "dialler open" in repr(pair.dialler.session)

    run(scenario())


@pytest.mark.parametrize(
    ("dialler", "acceptor", "joins"),
    [((JOINED,), (JOINED, "new"), True), ((JOINED,), (), False), ((), (JOINED,), False), ((), (), False)],
)
def test_batches_are_joined_only_where_both_hellos_say_so(
    dialler: tuple[str, ...], acceptor: tuple[str, ...], joins: bool
) -> None:
    seen: list[bool] = []

    async def serve(session: Session, lane: ExportLane) -> None:
        seen.append(lane.joins)

    async def scenario() -> None:
        sides = (Side(True, hello={"features": dialler}), Side(False, export=serve, hello={"features": acceptor}))
        async with joined(*sides) as pair:
            assert not pair.dialler.session.joins
            await pair.open()
            assert pair.dialler.session.joins is pair.acceptor.session.joins is joins
            with pytest.raises(LaneEnded):
                await open_lane(pair.dialler).next()

    run(scenario())
    assert seen == [joins]


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_batches_are_packed_only_where_both_sides_say_so_and_arrive_as_they_were(ours: bool, theirs: bool) -> None:
    sent = [segment(number, 50_000) for number in range(20)]

    async def serve(session: Session, lane: ExportLane) -> None:
        lane.open(TOPIC_ID, 0, FULL)
        for each in sent:
            await lane.send(each)
        await asyncio.Event().wait()

    async def scenario() -> None:
        features: dict[bool, dict[str, object]] = {True: {"features": (PACKED,)}, False: {}}
        limits = replace(LIMITS, packs=True)
        sides = (Side(True, export=serve, limits=limits, hello=features[ours]), Side(False, hello=features[theirs]))
        async with joined(*sides) as pair:
            await pair.open()
            lane = open_lane(pair.acceptor)
            for each in sent:
                arrived = await lane.next()
                assert replace(arrived, batches=tuple(bytes(batch) for batch in arrived.batches)) == each
            size_bytes = sum(map(len, pair.dialler.stream.written))
            assert (size_bytes < 100_000) is (ours and theirs)

    run(scenario())


@pytest.mark.parametrize("bad", ["dialler", "acceptor"])
def test_a_refused_proof_ends_the_link_before_anything_else(bad: str) -> None:
    async def scenario() -> None:
        sides = {"dialler": Side(True), "acceptor": Side(False)}
        sides[bad].signature = b"refuse me"
        async with joined(sides["dialler"], sides["acceptor"]) as pair:
            await pair.over()
            other = pair.acceptor if bad == "dialler" else pair.dialler
            assert other.error is not None
            assert other.error.code == "proof-refused"
            assert other.session.peer is None
            with pytest.raises(MeshError):
                open_lane(other)

    run(scenario())


def test_a_peer_that_never_greets_is_given_up() -> None:
    async def scenario() -> None:
        async with joined() as pair:
            pair.dialler.stream.hold()
            await pair.over()
            assert isinstance(pair.dialler.error, LinkLost)
            assert "did not prove itself in 10 s" in str(pair.dialler.error)

    run(scenario())


def test_a_question_gets_its_answer() -> None:
    async def scenario() -> None:
        body = catalog_pb2.CatalogReply()

        async def answer(session: Session, question: object) -> object:
            return body

        async with joined(Side(True, answer=answer), Side(False, answer=answer)) as pair:
            await pair.open()
            replies = await asyncio.gather(
                *(side.session.ask(catalog_pb2.CatalogRequest()) for side in (pair.dialler, pair.acceptor) * 5)
            )
            assert replies == [body] * 10

    run(scenario())


async def never(session: Session, question: object) -> object:
    return await asyncio.Event().wait()


def test_a_question_without_an_answer_is_given_up_and_the_link_stays() -> None:
    async def scenario() -> None:
        async with joined(Side(True), Side(False, answer=never)) as pair:
            await pair.open()
            with pytest.raises(LinkLost, match="no answer in 30 s"):
                await pair.dialler.session.ask(catalog_pb2.CatalogRequest())
            assert pair.dialler.session.is_open

    run(scenario())


def test_segments_come_in_order_as_far_as_credit_goes() -> None:
    async def scenario() -> None:
        async with joined(Side(True, export=serve_everything), Side(False)) as pair:
            await pair.open()
            weight = segment(0).weight_bytes
            lane = open_lane(pair.acceptor, credit_bytes=3 * weight)
            assert (await lane.opened()).topic_id == TOPIC_ID
            assert [(await lane.next()).first_source_offset for _ in range(3)] == [0, 1, 2]
            waiting = asyncio.create_task(lane.next())
            await asyncio.sleep(5)
            assert not waiting.done()
            lane.acknowledge(3)
            lane.credit(weight)
            assert (await waiting).first_source_offset == 3
            assert pair.dialler.session.exports()[0].acknowledged == 3

    run(scenario())


def test_a_lane_whose_importer_sleeps_holds_up_no_other() -> None:
    async def scenario() -> None:
        async with joined(Side(True, export=serve_everything), Side(False)) as pair:
            await pair.open()
            open_lane(pair.acceptor, "slow", credit_bytes=5000)
            quick = open_lane(pair.acceptor, "quick", credit_bytes=5000)
            for number in range(500):
                assert (await quick.next()).first_source_offset == number
                quick.credit(segment(number).weight_bytes)

    run(scenario())


def test_what_waits_for_the_link_is_bounded() -> None:
    sent: list[int] = []

    async def serve(session: Session, lane: ExportLane) -> None:
        lane.open(TOPIC_ID, 0, FULL)
        for number in range(900):
            await lane.send(segment(number))
            sent.append(number)
        await asyncio.Event().wait()

    async def scenario() -> None:
        limits = replace(LIMITS, buffer_bytes=10_000, frame_bytes=2000)
        dialler, acceptor = Side(True, export=serve, limits=limits), Side(False)
        async with joined(dialler, acceptor, Faults(room=2)) as pair:
            await pair.open()
            lanes = [open_lane(pair.acceptor, f"topic-{number}", 1 << 20) for number in range(5)]
            await lanes[0].next()
            pair.dialler.stream.hold()
            await asyncio.sleep(5)
            before = len(sent)
            await asyncio.sleep(5)
            assert len(sent) == before < 200
            pair.dialler.stream.release()
            for lane in lanes:
                while (await lane.next()).first_source_offset < 899:
                    pass

    run(scenario())


def test_data_never_overtake_the_opening_of_their_lane() -> None:
    """A lane opens and sends while the writer waits for the connection."""

    async def scenario() -> None:
        async with joined(Side(True, export=serve_everything), Side(False), Faults(room=1)) as pair:
            await pair.open()
            lanes = [open_lane(pair.acceptor, f"topic-{number}", 5000) for number in range(20)]
            for lane in lanes:
                await lane.next()
            assert pair.acceptor.session.is_open

    run(scenario())


def test_either_side_may_end_a_lane_and_the_link_goes_on() -> None:
    stopped = asyncio.Event()

    async def refuse(session: Session, lane: ExportLane) -> None:
        if lane.opening.topic == "forbidden":
            raise FrameUnexpected("test", "test")
        try:
            await serve_everything(session, lane)
        finally:
            stopped.set()

    async def scenario() -> None:
        async with joined(Side(True, export=refuse), Side(False)) as pair:
            await pair.open()
            forbidden = open_lane(pair.acceptor, "forbidden")
            with pytest.raises(LaneEnded, match="frame-unexpected"):
                await forbidden.opened()
            with pytest.raises(LaneEnded):
                await forbidden.next()
            lane = open_lane(pair.acceptor)
            await lane.next()
            lane.end("cancelled", "enough")
            lane.end("cancelled", "twice is allowed")
            await stopped.wait()
            await asyncio.sleep(0)
            assert pair.dialler.session.exports() == []
            assert pair.dialler.session.is_open
            again = open_lane(pair.acceptor)
            assert (await again.next()).first_source_offset == 0
            pair.dialler.session.end_export(pair.dialler.session.exports()[0], "not-available", "gone")
            with pytest.raises(LaneEnded, match="not-available"):
                await read_on(again)

    run(scenario())


def test_a_lane_that_is_ended_before_it_is_served_leaves_nothing() -> None:
    async def scenario() -> None:
        async with joined() as pair:
            await pair.open()
            pair.dialler.stream.hold()
            open_lane(pair.acceptor).end("cancelled")
            await asyncio.sleep(1)
            pair.dialler.stream.release()
            await asyncio.sleep(1)
            assert pair.dialler.session.exports() == []
            pair.dialler.session.drain("stopping", "test")
            await pair.over()
            assert (pair.dialler.error, pair.acceptor.error) == (None, None)

    run(scenario())


@pytest.mark.parametrize("leaver", ["dialler", "acceptor"])
def test_a_drained_link_ends_in_good_order_on_both_sides(leaver: str) -> None:
    async def scenario() -> None:
        dialler, acceptor = Side(True, export=serve_everything), Side(False, export=serve_everything)
        async with joined(dialler, acceptor) as pair:
            await pair.open()
            lanes = [open_lane(pair.dialler), open_lane(pair.acceptor)]
            for lane in lanes:
                await lane.next()
            (pair.dialler if leaver == "dialler" else pair.acceptor).session.drain("stopping", "the test stops")
            for lane in lanes:
                with pytest.raises((LinkLost, LaneEnded)):
                    await read_on(lane)
                lane.end("cancelled")
            await pair.over()
            assert (pair.dialler.error, pair.acceptor.error) == (None, None)

    run(scenario())


async def _waiters(pair: Pair) -> list[Callable[[], Awaitable[object]]]:
    """Everything that can wait on the acceptor's session."""
    lane, silent = open_lane(pair.acceptor, "spoken"), open_lane(pair.acceptor, "silent")
    await lane.opened()
    return [lane.next, silent.opened, lambda: pair.acceptor.session.ask(catalog_pb2.CatalogRequest())]


async def serve_the_spoken(session: Session, lane: ExportLane) -> None:
    if lane.opening.topic == "spoken":
        lane.open(TOPIC_ID, 0, FULL)
    await asyncio.Event().wait()


def break_a_rule(pair: Pair) -> None:
    session = pair.dialler.session
    pair.dialler.stream._outbox.append(encode_frame(session._sequence, Acknowledgement(99, 5)))
    pair.dialler.stream._line.change()


ENDINGS: dict[str, tuple[Callable[[Pair], object], str]] = {
    "aborted": (lambda pair: pair.acceptor.session.abort(PeerSilent(3.0)), "sent nothing for 3.0 s"),
    "cut": (lambda pair: pair.dialler.stream.cut(), "the test cut it"),
    "closed": (lambda pair: pair.dialler.stream.end(), "the peer closed it"),
    "a rule broken": (break_a_rule, "acknowledgement of lane 99"),
    "silence": (lambda pair: pair.dialler.stream.hold(), "sent nothing for"),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_whoever_waits_learns_why_the_link_ended(how: str) -> None:
    async def scenario() -> None:
        act, words = ENDINGS[how]
        dialler = Side(True, export=serve_the_spoken, answer=never)
        limits = replace(LIMITS, request_s=1000.0)
        async with joined(dialler, Side(False, limits=limits)) as pair:
            await pair.open()
            waiting = [asyncio.ensure_future(wait()) for wait in await _waiters(pair)]
            await asyncio.sleep(1)
            act(pair)
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            await asyncio.wait([pair.acceptor.task])
            assert all(words in str(error) for error in ended), ended
            assert words in str(pair.acceptor.error)
            with pytest.raises(MeshError, match=words):
                open_lane(pair.acceptor)
            with pytest.raises(MeshError, match=words):
                await pair.acceptor.session.ask(catalog_pb2.CatalogRequest())

    run(scenario())


def test_heartbeats_keep_an_idle_link_alive() -> None:
    async def scenario() -> None:
        async with joined() as pair:
            await pair.open()
            await asyncio.sleep(3600)
            assert pair.dialler.session.is_open
            beats = [data for data in pair.dialler.stream.written if len(data) <= len(encode_frame(9999, Heartbeat(1)))]
            assert len(beats) < 400

    run(scenario())


def test_an_error_and_a_cancellation_at_once_are_a_cancellation() -> None:
    async def scenario() -> None:
        for steps in range(12):
            async with joined() as pair:
                await pair.open()
                pair.dialler.session.abort(PeerSilent(1.0))
                for _ in range(steps):
                    await asyncio.sleep(0)
                pair.dialler.task.cancel()
                await asyncio.wait([pair.dialler.task])
                assert pair.dialler.task.cancelled() or pair.dialler.error is not None

    run(scenario())


def test_a_link_that_is_cancelled_at_any_step_leaves_no_task() -> None:
    async def scenario(steps: int) -> None:
        async with joined(Side(True, export=serve_everything), Side(False)) as pair:
            for step in range(steps):
                if step == 20 and pair.acceptor.session.is_open:
                    open_lane(pair.acceptor, credit_bytes=5000)
                await asyncio.sleep(0)

    for steps in range(60):
        run(scenario(steps))


def test_a_lane_asked_for_on_a_link_that_the_peer_broke_ends_as_those_before_it() -> None:
    """What the peer did wrong on one link is no reason to stop a lane for good."""

    async def scenario() -> None:
        async with joined(Side(True), Side(False, export=serve_everything)) as pair:
            await pair.open()
            before = open_lane(pair.dialler)
            await pair.acceptor.stream.write(encode_frame(1 << 20, Heartbeat()))
            await pair.over()
            assert isinstance(pair.dialler.error, MeshError)
            assert not pair.dialler.error.retriable
            with pytest.raises(LinkLost):
                await read_on(before)
            with pytest.raises(LinkLost, match="a frame was lost, repeated or swapped"):
                open_lane(pair.dialler)
            with pytest.raises(LinkLost):
                await pair.dialler.session.ask("anything")

    run(scenario())
