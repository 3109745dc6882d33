"""Frames as bytes: round trips, the generated classes as the judge, and any bytes at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.lanes.losses import Loss, LossKind
from mesh.link import frames as f
from mesh.link.errors import FrameMalformed
from mesh.segment import Segment
from mesh.shares import StartAt
from mesh.spans import SENT_REASONS, GapReason, Span
from mesh.wire.codec import decode_frame, encode_frame, hello_part
from mesh.wire.data import MAX_SPANS
from mesh.wire.v1 import catalog_pb2, link_pb2

u32, u64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
offsets = st.integers(0, (1 << 56) - 1)
texts = st.text(max_size=10)
starts = st.sampled_from([StartAt("earliest"), StartAt("latest")]) | st.builds(
    StartAt, st.sampled_from(["offset", "timestamp"]), offsets
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    first = at = draw(st.integers(0, 1 << 50))
    spans = []
    for length, reason in draw(st.lists(st.tuples(st.integers(1, 1 << 20), st.sampled_from([None, *SENT_REASONS])))):
        spans.append(Span(at, length, reason))
        at += length
    batches = tuple(draw(st.lists(st.binary(max_size=300), max_size=3)))
    epoch = draw(st.integers(-1, (1 << 31) - 1))
    return Segment(first, at, draw(offsets), tuple(spans), batches, draw(st.integers(-1, 1 << 62)), epoch)


losses = st.builds(Loss, st.sampled_from(LossKind), offsets, offsets, offsets, texts, st.integers(-1, (1 << 31) - 1))


hellos = st.builds(
    f.Hello,
    texts,
    texts,
    st.binary(max_size=32),
    u32,
    u32,
    st.lists(texts, max_size=3).map(tuple),
    st.frozensets(st.sampled_from(f.Role)),
    u64,
    u32,
)
data_frames = st.builds(f.Data, st.lists(st.tuples(u32, segments()), max_size=4).map(tuple))
replies = st.sampled_from([catalog_pb2.CatalogReply(), link_pb2.Refusal(code="no")])
requests = st.sampled_from([catalog_pb2.CatalogRequest(), link_pb2.DigestRequest(share="s", source_offset=9)])
some_frames: dict[str, st.SearchStrategy[f.Frame]] = {
    "hello": hellos,
    "proof": st.builds(f.Proof, st.lists(st.binary(max_size=9)).map(tuple), st.binary(max_size=9)),
    "heartbeat": st.builds(f.Heartbeat, u64),
    "go_away": st.builds(f.GoAway, texts, texts),
    "lane_open": st.builds(
        f.LaneOpen, u32, texts, texts, u32, starts, texts, u64, u64, st.integers(-(1 << 31), (1 << 31) - 1)
    ),
    "lane_opened": st.builds(f.LaneOpened, u32, texts, offsets, offsets, offsets, offsets),
    "lane_end": st.builds(f.LaneEnd, u32, texts, texts, st.booleans(), st.none() | losses),
    "lane_status": st.builds(f.LaneStatus, u32, offsets, offsets, offsets),
    "credit": st.builds(f.Credit, u32, offsets),
    "acknowledgement": st.builds(f.Acknowledgement, u32, offsets),
    "request": st.builds(f.Request, u64, requests),
    "reply": st.builds(f.Reply, u64, replies),
    "data": data_frames,
}


@pytest.mark.parametrize("kind", some_frames)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_frame_comes_back_as_it_was(kind: str, data: st.DataObject) -> None:
    sequence, frame = data.draw(u64), data.draw(some_frames[kind])
    assert decode_frame(encode_frame(sequence, frame)) == (sequence, frame)


@settings(max_examples=60, deadline=None)
@given(sequence=u64, frame=data_frames)
def test_data_frames_are_what_the_generated_classes_write_and_read(sequence: int, frame: f.Data) -> None:
    message = link_pb2.Frame(sequence=sequence)
    message.data.SetInParent()
    for lane, segment in frame.segments:
        message.data.segments.add(
            lane=lane,
            first_source_offset=segment.first_source_offset,
            next_source_offset=segment.next_source_offset,
            first_ordinal=segment.first_ordinal,
            span_lengths=[span.length for span in segment.spans],
            span_reasons=[link_pb2.GapReason.ValueType(int(span.reason or 0)) for span in segment.spans],
            source_timestamp_ms=segment.source_timestamp_ms,
            batches=[bytes(batch) for batch in segment.batches],
            leader_epoch=segment.leader_epoch if segment.leader_epoch >= 0 else None,
        )
    assert decode_frame(message.SerializeToString()) == (sequence, frame)
    assert link_pb2.Frame.FromString(encode_frame(sequence, frame)) == message


@settings(max_examples=60, deadline=None)
@given(sequence=st.integers(0, 1 << 50), frame=data_frames)
def test_a_segment_weighs_at_least_what_it_takes_on_the_wire(sequence: int, frame: f.Data) -> None:
    assert len(encode_frame(sequence, frame)) <= 32 + sum(segment.weight_bytes for _, segment in frame.segments)


UNKNOWN = b"\xf8\x3f\x07" + b"\xfa\x3f\x03abc" + b"\xfd\x3f1234" + b"\xf9\x3f12345678"
"""Fields 1023 of every wire type that proto3 writes."""


@pytest.mark.parametrize("kind", some_frames)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_unknown_fields_of_a_frame_are_tolerated(kind: str, data: st.DataObject) -> None:
    frame = data.draw(some_frames[kind])
    encoded = encode_frame(7, frame)
    assert decode_frame(UNKNOWN + encoded) == decode_frame(encoded + UNKNOWN) == (7, frame)


def test_unknown_fields_within_messages_are_tolerated_and_unknown_roles_left_out() -> None:
    hello = f.Hello("acme.example", "one", bytes(16))
    message = link_pb2.Frame.FromString(encode_frame(0, hello))
    message.hello.MergeFromString(UNKNOWN + b"\x30\x09")
    assert decode_frame(message.SerializeToString()) == (0, hello)
    segment = encode_frame(0, f.Data(((1, Segment(0, 1, 0, (Span(0, 1),), (b"batch",))),)))
    message = link_pb2.Frame.FromString(segment)
    message.data.segments[0].MergeFromString(UNKNOWN)
    message.data.MergeFromString(UNKNOWN)
    assert decode_frame(message.SerializeToString()) == decode_frame(segment)


def test_the_part_of_a_hello_that_is_signed_is_what_was_sent() -> None:
    hello = f.Hello("acme.example", "one", bytes(16))
    message = link_pb2.Frame.FromString(encode_frame(0, hello))
    message.hello.MergeFromString(UNKNOWN)
    assert hello_part(message.SerializeToString()) == message.hello.SerializeToString()


def value_or_documented_error(data: bytes) -> None:
    try:
        sequence, frame = decode_frame(data)
    except FrameMalformed:
        return
    assert 0 <= sequence < 1 << 64
    encode_frame(sequence, frame)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_malformed(data: bytes) -> None:
    value_or_documented_error(data)


@settings(max_examples=300, deadline=None)
@given(frame=st.one_of(*some_frames.values()), data=st.data())
def test_a_damaged_frame_is_a_frame_or_malformed(frame: f.Frame, data: st.DataObject) -> None:
    encoded = bytearray(encode_frame(3, frame))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(encoded)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
            case "flip" if at < len(encoded):
                encoded[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del encoded[at:]
            case "insert":
                encoded[at:at] = data.draw(st.binary(max_size=4))
            case _:
                encoded += encoded[at:]
    value_or_documented_error(bytes(encoded))


@pytest.mark.parametrize(
    "message",
    [
        link_pb2.Frame(sequence=1),
        link_pb2.Frame(request=link_pb2.Request(id=1)),
        link_pb2.Frame(lane_open=link_pb2.LaneOpen(lane=1)),
        link_pb2.Frame(lane_open=link_pb2.LaneOpen(position=link_pb2.Position(offset=1 << 56))),
        link_pb2.Frame(lane_open=link_pb2.LaneOpen(position=link_pb2.Position(timestamp_ms=1 << 63))),
        link_pb2.Frame(lane_opened=link_pb2.LaneOpened(first_source_offset=1 << 56)),
        link_pb2.Frame(acknowledgement=link_pb2.Acknowledgement(source_offset=1 << 60)),
        link_pb2.Frame(data=link_pb2.Data(segments=[link_pb2.Segment(first_ordinal=1 << 56)])),
        link_pb2.Frame(data=link_pb2.Data(segments=[link_pb2.Segment(span_lengths=[1])])),
        link_pb2.Frame(data=link_pb2.Data(segments=[link_pb2.Segment(span_lengths=[1 << 56], span_reasons=[0])])),  # type: ignore[list-item]
        link_pb2.Frame(data=link_pb2.Data(segments=[link_pb2.Segment(span_lengths=[1], span_reasons=[99])])),  # type: ignore[list-item]
    ],
)
def test_what_no_gateway_means_is_malformed(message: link_pb2.Frame) -> None:
    with pytest.raises(FrameMalformed):
        decode_frame(message.SerializeToString())


def test_a_frame_with_two_bodies_is_malformed() -> None:
    beat, data = encode_frame(1, f.Heartbeat(1)), encode_frame(1, f.Data(()))
    for both in (beat + beat, beat + data, data + beat, data + data):
        with pytest.raises(FrameMalformed, match="more than one body"):
            decode_frame(both)


def test_spans_are_bounded() -> None:
    count = MAX_SPANS // 2 + 1
    segment = link_pb2.Segment(span_lengths=[1] * count, span_reasons=[0] * count)  # type: ignore[list-item]
    with pytest.raises(FrameMalformed, match="more than 1048576 spans"):
        decode_frame(link_pb2.Frame(data=link_pb2.Data(segments=[segment, segment])).SerializeToString())


def test_a_loss_of_a_kind_that_is_not_known_leaves_the_code_and_its_words() -> None:
    body = link_pb2.LaneEnd(lane=3, code="source-eaten", loss=link_pb2.Loss(kind=9, log_start=4))  # type: ignore[arg-type]
    frame = link_pb2.Frame(sequence=5, lane_end=body)
    assert decode_frame(frame.SerializeToString()) == (5, f.LaneEnd(3, "source-eaten"))
    body.loss.kind, body.loss.log_start = link_pb2.Loss.TRIMMED, 1 << 60
    with pytest.raises(FrameMalformed):
        decode_frame(link_pb2.Frame(lane_end=body).SerializeToString())


GOLDEN: dict[str, tuple[f.Frame, str]] = {
    "hello": (
        f.Hello("acme.example", "one", bytes(range(16)), features=("x",), heartbeat_ms=9),
        "08051235 08011a0178220c61636d652e6578616d706c652a036f6e6532020102 3a10000102030405060708090a0b0c0d0e0f"
        "408080800a4809",
    ),
    "proof": (f.Proof((b"leaf", b"ca"), b"sig"), "08051a0f0a046c6561660a0263611203736967"),
    "heartbeat": (f.Heartbeat(300), "0805220308ac02"),
    "go_away": (f.GoAway("stopping", "bye"), "08052a0f0a0873746f7070696e671203627965"),
    "lane_open": (
        f.LaneOpen(3, "flights", "departures", 2, StartAt("offset", 7), "ab", 1000, 2000, -1),
        "080532320803 1207666c69676874731a0a64657061727475726573 20022a021807 32026162 38e80740d00f"
        "48ffffffffffffffffff01",
    ),
    "lane_opened": (f.LaneOpened(3, "ab", 7, 1, 9, 8), "08053a0e0803120261621807200128093008"),
    "lane_end": (f.LaneEnd(3, "done", "x", True), "0805420d08031204646f6e651a01782001"),
    "lane_end with a loss": (
        f.LaneEnd(3, "source-truncated", "x", loss=Loss(LossKind.TRUNCATED, 1, 9, 7, "ab", 0)),
        "0805422708031210736f757263652d7472756e63617465641a01782a0e08021001180920072a02616230 00",
    ),
    "lane_status": (f.LaneStatus(3, 1, 9, 8), "08054a080803100118092008"),
    "credit": (f.Credit(3, 300), "0805520508 0310ac02"),
    "acknowledgement": (f.Acknowledgement(3, 7), "08055a0408031007"),
    "request": (f.Request(1, catalog_pb2.CatalogRequest()), "08056204080 11200"),
    "reply": (f.Reply(1, link_pb2.Refusal(code="no")), "08056a08080122040a026e6f"),
    "data": (
        f.Data(((3, Segment(7, 10, 4, (Span(7, 2), Span(9, 1, GapReason.MARKER)), (b"batch",), 300)),)),
        "08057a1c0a1a08031007180a20042a0202013202000138ac0242056261746368",
    ),
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_the_bytes_of_a_frame_do_not_change(kind: str) -> None:
    frame, text = GOLDEN[kind]
    assert encode_frame(5, frame).hex() == text.replace(" ", "")
    assert decode_frame(bytes.fromhex(text.replace(" ", ""))) == (5, frame)


def test_replaced_segments_compare_by_value() -> None:
    segment = Segment(0, 1, 0, (Span(0, 1),), (b"batch",))
    assert decode_frame(encode_frame(0, f.Data(((1, segment),))))[1] != f.Data(((1, replace(segment, batches=())),))
