"""The seal as docs/reference/wire-protocol.md states it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from mesh.link.errors import FrameAltered
from mesh.link.frames import Heartbeat
from mesh.link.seal import SEAL_BYTES, Seal
from mesh.wire.codec import decode_frame, encode_frame
from mesh.wire.v1 import link_pb2

SEAL = Seal(b"dialler's hello", b"acceptor's hello")


def test_the_seal_is_field_16_over_the_link_the_direction_and_the_frame() -> None:
    frame = encode_frame(7, Heartbeat(5))
    sealed = frame + SEAL.of(True, [frame])
    hellos = sha256(b"dialler's hello").digest() + sha256(b"acceptor's hello").digest()
    assert link_pb2.Frame.FromString(sealed).seal == crc32c(b"\1" + hellos + sealed[:-SEAL_BYTES])
    assert decode_frame(sealed) == (7, Heartbeat(5))


@given(st.binary(max_size=100), st.booleans(), st.data())
def test_only_the_frame_itself_passes(frame: bytes, from_dialler: bool, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(frame)))
    sealed = frame + SEAL.of(from_dialler, [frame[:cut], memoryview(frame)[cut:]])
    SEAL.check(from_dialler, sealed)
    at, bit = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(0, 7))
    changed = sealed[:at] + bytes((sealed[at] ^ 1 << bit,)) + sealed[at + 1 :]
    for other in (changed, sealed[:-1], sealed + b"\0", frame):
        with pytest.raises(FrameAltered):
            SEAL.check(from_dialler, other)
    for seal, direction in ((SEAL, not from_dialler), (Seal(b"dialler's hello", b"another"), from_dialler)):
        with pytest.raises(FrameAltered):
            seal.check(direction, sealed)
