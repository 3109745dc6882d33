"""Frames to bytes and back. Any bytes give a frame or FrameMalformed; unknown fields are tolerated.

Control frames go through the generated classes, field by field; data frames through `data.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

from google.protobuf.message import DecodeError, Message

from mesh.batch.stamp import Buffer
from mesh.lanes.losses import Loss, LossKind
from mesh.link import frames as f
from mesh.link.errors import FrameMalformed
from mesh.shares import StartAt
from mesh.wire.data import Pack, data_chunks, decode_data, offset
from mesh.wire.v1 import link_pb2 as pb
from mesh.wire.varint import fields

_SEQUENCE, _HELLO, _DATA = 1, 2, 15
_BODIES = frozenset(field.number for field in pb.Frame.DESCRIPTOR.oneofs_by_name["body"].fields)
_OFFSETS = frozenset({"first_source_offset", "source_offset", "log_start", "log_end", "last_stable", "size_bytes"})


def encode_frame(sequence: int, frame: f.Frame) -> bytes:
    """`frame` as a serialized `mesh.wire.v1.Frame`."""
    return b"".join(frame_chunks(sequence, frame))


def frame_chunks(sequence: int, frame: f.Frame, pack: Pack = lambda lane, fields: None) -> list[Buffer]:
    """The same before it is joined: what comes after it on the wire needs no second copy."""
    if isinstance(frame, f.Data):
        return data_chunks(sequence, frame, pack)
    message = pb.Frame(sequence=sequence)
    _ENCODERS[type(frame)](message, frame)
    return [message.SerializeToString()]


def decode_frame(data: bytes, max_unpacked_bytes: int = 0) -> tuple[int, f.Frame]:
    """The sequence number and the frame in `data`; `max_unpacked_bytes` as of `decode_data`."""
    view = memoryview(data)
    sequence, body, bodies = 0, None, 0
    for number, value in fields(view):
        if number == _SEQUENCE and isinstance(value, int):
            sequence = value
        elif number == _DATA and not isinstance(value, int):
            body = value
        bodies += number in _BODIES
    if bodies > 1:  # protobuf would merge them, or take the last: nobody sends that in good faith
        raise FrameMalformed("it has more than one body")
    if body is not None:
        return sequence, decode_data(body, max_unpacked_bytes)
    try:
        message = pb.Frame.FromString(data)
    except DecodeError as error:
        raise FrameMalformed(str(error)) from error
    kind = message.WhichOneof("body")
    if kind is None or kind == "data":
        raise FrameMalformed("it has no body that this version knows")
    return message.sequence, _DECODERS[kind](getattr(message, kind))


def hello_part(data: bytes) -> bytes:
    """The bytes of the hello in a frame, as sent: what proofs are made over, unknown fields included."""
    return b"".join(value for number, value in fields(memoryview(data)) if number == _HELLO and _is_view(value))


def _is_view(value: int | memoryview) -> TypeGuard[memoryview]:
    return not isinstance(value, int)


# --- one encoder and one decoder a frame, side by side


def _plain(name: str) -> Callable[[pb.Frame, Any], None]:
    """Encoder for frames whose attributes are the message's fields by name."""

    def encode(message: pb.Frame, frame: Any) -> None:
        body = getattr(message, name)
        body.SetInParent()
        for field in body.DESCRIPTOR.fields:
            setattr(body, field.name, getattr(frame, field.name))

    return encode


def _same(kind: type) -> Callable[[Any], Any]:
    """Decoder for the same frames."""
    return lambda body: kind(**{field.name: _value(body, field.name) for field in body.DESCRIPTOR.fields})


def _value(body: Any, name: str) -> Any:
    value = getattr(body, name)
    return offset(value) if name in _OFFSETS else value


def _encode_hello(message: pb.Frame, frame: f.Hello) -> None:
    hello = pb.Hello(
        major=frame.major,
        minor=frame.minor,
        features=frame.features,
        organization=frame.organization,
        gateway=frame.gateway,
        roles=[pb.Role.ValueType(int(role)) for role in sorted(frame.roles)],
        nonce=frame.nonce,
        max_frame_bytes=frame.max_frame_bytes,
        heartbeat_ms=frame.heartbeat_ms,
        clock_ms=frame.clock_ms,
    )
    message.hello.CopyFrom(hello)


def _decode_hello(body: pb.Hello) -> f.Hello:
    known = {int(role) for role in f.Role}
    return f.Hello(
        organization=body.organization,
        gateway=body.gateway,
        nonce=body.nonce,
        major=body.major,
        minor=body.minor,
        features=tuple(body.features),
        roles=frozenset(f.Role(role) for role in body.roles if role in known),
        max_frame_bytes=body.max_frame_bytes,
        heartbeat_ms=body.heartbeat_ms,
        clock_ms=body.clock_ms,
    )


def _encode_proof(message: pb.Frame, frame: f.Proof) -> None:
    message.proof.certificate_chain.extend(frame.certificate_chain)
    message.proof.signature = frame.signature


def _decode_proof(body: pb.Proof) -> f.Proof:
    return f.Proof(tuple(body.certificate_chain), body.signature)


def _encode_lane_open(message: pb.Frame, frame: f.LaneOpen) -> None:
    body = message.lane_open
    for field in body.DESCRIPTOR.fields:
        if field.name != "position":
            setattr(body, field.name, getattr(frame, field.name))
    kind = frame.start.kind
    if kind == "offset":
        body.position.offset = frame.start.value
    elif kind == "timestamp":
        body.position.timestamp_ms = frame.start.value
    else:
        setattr(body.position, kind, True)


def _decode_lane_open(body: pb.LaneOpen) -> f.LaneOpen:
    at = body.position.WhichOneof("at")
    if at is None:
        raise FrameMalformed("lane_open has no position")
    if at in {"earliest", "latest"}:
        start = StartAt(at)
    else:
        start = StartAt("offset" if at == "offset" else "timestamp", offset(getattr(body.position, at)))
    plain = {field.name: getattr(body, field.name) for field in body.DESCRIPTOR.fields if field.name != "position"}
    if not body.HasField("leader_epoch"):  # left out is unknown, not the first epoch
        plain["leader_epoch"] = -1
    return f.LaneOpen(start=start, **plain)


def _encode_lane_end(message: pb.Frame, frame: f.LaneEnd) -> None:
    body = message.lane_end
    body.lane, body.code, body.detail, body.retriable = frame.lane, frame.code, frame.detail, frame.retriable
    if (loss := frame.loss) is None:
        return
    body.loss.kind = pb.Loss.Kind.ValueType(int(loss.kind))
    for name in ("log_start", "log_end", "diverges_at", "topic_id"):
        setattr(body.loss, name, getattr(loss, name))
    if loss.leader_epoch >= 0:
        body.loss.leader_epoch = loss.leader_epoch


def _decode_lane_end(body: pb.LaneEnd) -> f.LaneEnd:
    return f.LaneEnd(body.lane, body.code, body.detail, body.retriable, _decode_loss(body))


def _decode_loss(body: pb.LaneEnd) -> Loss | None:
    """A kind that this version does not know is none: the code and its words remain."""
    if not body.HasField("loss") or body.loss.kind not in {int(kind) for kind in LossKind}:
        return None
    loss = body.loss
    epoch = loss.leader_epoch if loss.HasField("leader_epoch") else -1
    offsets = (offset(loss.log_start), offset(loss.log_end), offset(loss.diverges_at))
    return Loss(LossKind(loss.kind), *offsets, loss.topic_id, max(epoch, -1))


def _encode_body(name: str) -> Callable[[pb.Frame, Any], None]:
    """Encoder for requests and replies: the body is one of the generated messages."""

    def encode(message: pb.Frame, frame: f.Request | f.Reply) -> None:
        outer = getattr(message, name)
        outer.id = frame.id
        for field in outer.DESCRIPTOR.oneofs_by_name["body"].fields:
            if field.message_type is getattr(frame.body, "DESCRIPTOR", None):
                getattr(outer, field.name).CopyFrom(frame.body)
                return
        raise AssertionError(f"{type(frame.body).__name__} is no body of a {name}")

    return encode


def _decode_body(kind: type, name: str) -> Callable[[Any], Any]:
    def decode(outer: Any) -> f.Request | f.Reply:
        which = outer.WhichOneof("body")
        if which is None:
            raise FrameMalformed(f"a {name} has no body that this version knows")
        body: Message = getattr(outer, which)
        return kind(outer.id, body)  # type: ignore[no-any-return]

    return decode


_PLAIN: dict[str, type] = {
    "heartbeat": f.Heartbeat,
    "go_away": f.GoAway,
    "lane_opened": f.LaneOpened,
    "lane_status": f.LaneStatus,
    "credit": f.Credit,
    "acknowledgement": f.Acknowledgement,
}

_ENCODERS: dict[type, Callable[[pb.Frame, Any], None]] = {
    **{kind: _plain(name) for name, kind in _PLAIN.items()},
    f.Hello: _encode_hello,
    f.Proof: _encode_proof,
    f.LaneOpen: _encode_lane_open,
    f.LaneEnd: _encode_lane_end,
    f.Request: _encode_body("request"),
    f.Reply: _encode_body("reply"),
}

_DECODERS: dict[str, Callable[[Any], f.Frame]] = {
    **{name: _same(kind) for name, kind in _PLAIN.items()},
    "hello": _decode_hello,
    "proof": _decode_proof,
    "lane_open": _decode_lane_open,
    "lane_end": _decode_lane_end,
    "request": _decode_body(f.Request, "request"),
    "reply": _decode_body(f.Reply, "reply"),
}
