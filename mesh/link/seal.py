"""The seal of a frame: what was changed on the way, or belongs to another link, is noticed before it is read.

TLS keeps others from doing it; where TLS ends (a faulty library, memory, a relay of one's own) only the records of a
batch have a checksum, and the numbers beside them none. The seal is a CRC-32C over the link, the direction and the
frame, at the frame's end: field 16, fixed32, least byte first. The link is known by both hellos, whose nonces are
fresh and which the proofs sign. It is no secret: it is against accidents and stale frames, not against one who can
compute it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from crc32c import crc32c

from mesh.batch.stamp import Buffer
from mesh.link.errors import FrameAltered

SEALED = "sealed-frames"
"""The feature. Where both hellos name it, every frame but the hellos is sealed."""
_TAG = b"\x85\x01"
SEAL_BYTES = len(_TAG) + 4


class Seal:
    """Of one link, by its hellos as they were sent."""

    def __init__(self, dialler_hello: bytes, acceptor_hello: bytes) -> None:
        link = sha256(dialler_hello).digest() + sha256(acceptor_hello).digest()
        self._starts = {from_dialler: crc32c(bytes((from_dialler,)) + link) for from_dialler in (True, False)}

    def of(self, from_dialler: bool, chunks: Iterable[Buffer]) -> bytes:
        """The seal of the frame that `chunks` make: its last bytes."""
        crc = self._starts[from_dialler]
        for chunk in chunks:
            crc = crc32c(chunk, crc)
        return _TAG + crc.to_bytes(4, "little")

    def check(self, from_dialler: bool, frame: bytes) -> None:
        """Raises FrameAltered where `frame` has not the seal of this link and direction."""
        view = memoryview(frame)
        if view[-SEAL_BYTES:] != self.of(from_dialler, (view[:-SEAL_BYTES],)):
            raise FrameAltered(len(frame))
