"""Frames of a link: what a gateway sends, damaged, then decoded, encoded again, and given to a link that is open."""

from __future__ import annotations

from functools import cache
from random import Random

from mesh.errors import MeshError
from mesh.lanes.losses import Loss, LossKind
from mesh.link import frames as f
from mesh.segment import Segment
from mesh.shares import StartAt
from mesh.spans import GapReason, Span
from mesh.testing.links import LinkPair, hello, linked_pair
from mesh.wire.codec import decode_frame, encode_frame, frame_chunks, hello_part
from mesh.wire.packing import packed
from mesh.wire.v1 import link_pb2 as pb
from mesh.wire.varint import encode as varint
from tests.fuzz.findings import ACCEPTED, Finding, said
from tests.fuzz.mutate import EDGES, mutated

_LANE = 0
_UNPACKED_BYTES = 1 << 20


@cache
def _frames() -> tuple[bytes, ...]:
    """One of each kind, as the next frame of an open link with one lane."""
    segment = Segment(0, 9, 0, (Span(0, 3), Span(3, 2, GapReason.MARKER), Span(5, 4)), (b"x" * 80, b"y" * 200), 5)
    loss = Loss(LossKind.TRUNCATED, 1, 2, 3, "ab" * 16, 4)
    request = pb.Request(id=1)
    bodies = [field.name for field in request.DESCRIPTOR.oneofs_by_name["body"].fields]
    asked = []
    for name in bodies:
        message = pb.Request(id=1)
        getattr(message, name).SetInParent()
        asked.append(pb.Frame(sequence=0, request=message).SerializeToString())
    plain: list[f.Frame] = [
        hello(),
        f.Proof((b"leaf",), b"signature"),
        f.Data(((_LANE, segment),)),
        f.Data(((_LANE, segment), (2, segment))),
        f.LaneOpen(_LANE, "flights", "departures", 0, StartAt()),
        f.LaneOpen(1, "flights", "departures", 3, StartAt("offset", 12)),
        f.LaneEnd(_LANE, "lost", "words", False, loss),
        f.GoAway("done", "words"),
    ]
    small = b"".join(frame_chunks(0, f.Data(((_LANE, segment),)), lambda lane, fields: packed(b"".join(fields))))
    return (*(encode_frame(0, frame) for frame in plain), small, *asked, *_by_descriptor())


def _by_descriptor() -> list[bytes]:
    """Every other body with each of its plain fields set, from the proto file."""
    found = []
    for field in pb.Frame.DESCRIPTOR.oneofs_by_name["body"].fields:
        message = pb.Frame(sequence=0)
        body = getattr(message, field.name)
        body.SetInParent()
        for inner in body.DESCRIPTOR.fields:
            if inner.message_type is None and not inner.is_repeated:
                kind = inner.cpp_type
                text = {inner.CPPTYPE_STRING: "abc", inner.CPPTYPE_BOOL: True}.get(kind, 1)
                if inner.type == inner.TYPE_BYTES:
                    text = b"abc"
                setattr(body, inner.name, text)
        found.append(message.SerializeToString())
    return found


def frame_mutant(random: Random) -> bytes:
    """A frame with its bytes changed, or a field of it, or two frames in one."""
    data = random.choice(_frames())
    kind = random.random()
    if kind < 0.05:
        return data
    if kind < 0.15:
        return data + random.choice(_frames())
    if kind < 0.35:
        return _fields_changed(data, random)
    return mutated(data, random)


def _fields_changed(data: bytes, random: Random) -> bytes:
    """A field added: of any number and kind, with a number or bytes at an edge."""
    number = random.choice((0, 1, 2, 3, 4, 5, 9, 15, 16, 100, (1 << 29) - 1, 1 << 29, (1 << 32) - 1))
    kind = random.choice((0, 0, 1, 2, 2, 3, 4, 5, 6, 7))
    edge = varint(random.choice(EDGES))
    size = random.choice((varint(2) + b"ab", varint(1 << 31), varint(0)))
    value = {0: edge, 1: bytes(8), 2: size, 5: bytes(4)}.get(kind, edge)
    added = varint(number << 3 | kind) + value
    return data + added if random.random() < 0.5 else added + data


def check_frame(data: bytes) -> str:
    try:
        sequence, frame = decode_frame(data, _UNPACKED_BYTES)
    except MeshError as error:
        return said(error)
    hello_part(data)
    again = decode_frame(encode_frame(sequence, frame))
    if again != (sequence, frame):
        raise Finding(f"{frame!r:.300} reads as {again!r:.300} when it is sent on")
    return _received(frame)


def _received(frame: f.Frame) -> str:
    """What the machines say of the frame at the right place of the sequence, in each state of a link and of a lane."""
    codes = []
    for situation in (_greeting, _proving, _asked, _running):
        for from_dialler in (True, False):
            pair = situation()
            sender, receiver = (pair.dialler, pair.acceptor) if from_dialler else (pair.acceptor, pair.dialler)
            try:
                receiver.receive(pair.next_sequence(sender), frame, pair.clock())
                repr(receiver)
                receiver.tick(pair.clock())
                codes.append(ACCEPTED)
            except MeshError as error:
                codes.append(said(error))
    return ACCEPTED if ACCEPTED in codes else codes[0]


def _greeting() -> LinkPair:
    pair = linked_pair(opened=False)
    pair.dialler.greet()
    pair.acceptor.greet()
    return pair


def _proving() -> LinkPair:
    pair = _greeting()
    pair.deliver_all()
    return pair


def _asked() -> LinkPair:
    """The dialler has asked for a lane."""
    pair = linked_pair()
    opening = f.LaneOpen(pair.dialler.next_lane(), "flights", "departures", 0, StartAt(), credit_bytes=10_000)
    pair.dialler.open_lane(opening)
    pair.deliver_all()
    return pair


def _running() -> LinkPair:
    pair = _asked()
    pair.acceptor.opened(pair.acceptor.lanes[_LANE], f.LaneOpened(_LANE, "ab" * 16, 0, 0, 99, 99))
    pair.deliver_all()
    return pair
