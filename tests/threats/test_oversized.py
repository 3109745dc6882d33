"""Threat 7: one byte above each bound is refused by name, and the bound itself is taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.exporter import ExportSettings, export_lane
from gateway.link.lanes import ExportLane
from gateway.link.ports import SessionLimits
from gateway.link.session import Session
from gateway.rpc.credentials import TransportLimits, open_channel
from gateway.rpc.streams import OPEN_METHOD, DialledStream
from mesh.batch.encode import encode
from mesh.batch.errors import BatchOversized
from mesh.batch.limits import Limits
from mesh.batch.records import Record
from mesh.batch.validate import validate
from mesh.errors import MeshError
from mesh.link.errors import LinkLost
from mesh.link.features import PACKED
from mesh.link.frames import Data, Heartbeat, Hello, LaneOpen
from mesh.segment import Segment
from mesh.shares import StartAt
from mesh.spans import Span
from mesh.testing.clock import run
from mesh.trust import invite, peerfile
from mesh.wire.codec import encode_frame, frame_chunks
from mesh.wire.packing import packed
from mesh.wire.varint import length_prefix
from tests.support.hubs import SETTINGS, two
from tests.support.mirror import SOURCE, dense, source_of
from tests.support.sessions import Side, joined

BATCH = encode([Record(at, 1, b"k", b"v" * 100) for at in range(10)])


@pytest.mark.parametrize(
    ("taken", "refused", "what"),
    [
        (Limits(max_batch_bytes=len(BATCH)), Limits(max_batch_bytes=len(BATCH) - 1), "bytes"),
        (Limits(max_records=10), Limits(max_records=9), "records"),
    ],
)
def test_a_batch(taken: Limits, refused: Limits, what: str) -> None:
    validate(memoryview(BATCH), taken)
    with pytest.raises(BatchOversized, match=what):
        validate(memoryview(BATCH), refused)


def _frame_of(size: int) -> bytes:
    """A heartbeat with a field that nobody knows."""
    bare = encode_frame(2, Heartbeat(1))
    rest = size - len(bare) - 6
    return bare + b"\xa2\x06" + bytes((rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14 | 128, 0)) + bytes(rest)


@pytest.mark.parametrize("over", [0, 1])
def test_a_frame(over: int) -> None:
    bound = 64 << 10

    async def scenario() -> None:
        async with joined(Side(True), Side(False, hello={"max_frame_bytes": bound})) as pair:
            await pair.open()
            await pair.dialler.stream.write(_frame_of(bound + over))
            await asyncio.sleep(0.1)
            error = pair.acceptor.error
            assert (error.code if error else "") == ("frame-oversized" if over else "")

    run(scenario())


@pytest.mark.parametrize("over", [0, 1])
def test_what_a_frame_unpacks_to(over: int) -> None:
    """A frame of a few hundred bytes, whose segments unpack to as much as a frame may have, or to a byte more."""
    bound = 64 << 10
    half = bound // 2 - len(length_prefix(8, bound // 2))
    batches = [bytes(half), bytes(half + over)]
    segments = tuple((2 * at, Segment(0, 1, 0, (Span(0, 1),), (batch,))) for at, batch in enumerate(batches))
    bomb = b"".join(frame_chunks(2, Data(segments), lambda lane, fields: packed(b"".join(fields))))
    assert len(bomb) < 1000

    async def scenario() -> None:
        hello: dict[str, object] = {"features": (PACKED,), "max_frame_bytes": bound}
        async with joined(Side(True, hello=hello), Side(False, hello=hello)) as pair:
            await pair.open()
            await pair.dialler.stream.write(bomb)
            await pair.over()
            assert pair.acceptor.error is not None
            # what was unpacked is of a lane that nobody opened
            assert pair.acceptor.error.code == ("frame-malformed" if over else "frame-unexpected")

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("over", [0, 1])
async def test_a_message(over: int) -> None:
    """gRPC does not hand over what is larger; what is not reaches the link, which has its own word to say."""
    bound = 100_000
    settings = replace(SETTINGS, transport=TransportLimits(max_message_bytes=bound), max_frame_bytes=64 << 10)
    async with two(globex_dials=False, settings=settings) as both:
        assert both.acme.listener is not None
        trust = both.globex.registry.peer(both.acme.organization.org).trust
        identity = both.globex.hub._identity
        async with open_channel(identity, trust, both.acme.listener.address, TransportLimits()) as channel:
            stream = DialledStream(channel.stream_stream(OPEN_METHOD)())
            await stream.write(encode_frame(0, Hello(identity.id.org, identity.id.name, nonce=bytes(32))))
            await stream.write(_frame_of(bound + over))
            said = await _last_words(stream)
            assert ("frame-oversized" in said, "larger than max" in said) == (not over, bool(over))


async def _last_words(stream: DialledStream) -> str:
    try:
        while await stream.read() is not None:
            pass
    except LinkLost as error:
        return str(error)
    return ""


FILES: dict[str, tuple[Callable[[str], object], int]] = {
    "invite": (invite.parse_invite, invite.MAX_BYTES),
    "peer file": (lambda text: peerfile.parse_peer_file(text, datetime.now(UTC)), peerfile.MAX_BYTES),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file(what: str) -> None:
    read, bound = FILES[what]
    for size, why in ((bound, "kind"), (bound + 1, f"larger than {bound} bytes")):
        text = json.dumps("x" * (size - 2))
        assert len(text) == size
        with pytest.raises(MeshError, match=why):
            read(text)


def test_a_fast_source_waits_for_a_slow_destination() -> None:
    """Of a log of megabytes, no more is read than the lane's credit and the link's buffer hold."""
    log = dense(400, 40)
    credit, buffer = 20_000, 10_000

    async def scenario() -> None:
        source = await source_of(log)
        read = 0

        async def counting(session: Session, lane: ExportLane) -> None:
            await export_lane(source.ports, lane, lambda: None, ExportSettings(2000, wait_s=1.0))

        async with joined(
            Side(True, export=counting, limits=SessionLimits(buffer_bytes=buffer, frame_bytes=2000)), Side(False)
        ) as pair:
            await pair.open()
            lane = pair.acceptor.session.open_lane(
                lambda number: LaneOpen(number, "flights", SOURCE, 0, StartAt(), credit_bytes=credit)
            )
            await asyncio.sleep(60)
            while lane._segments:
                read += sum(map(len, lane._segments.popleft().batches))
            assert 0 < read <= credit + 2000
            assert sum(len(batch.data) for batch in log.batches) > 10 * read

    run(scenario())
