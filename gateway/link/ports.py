"""What a session needs: a stream of messages, somebody who proves and checks identities, and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mesh.ids import GatewayId
from mesh.link.frames import Hello, Proof


class FrameStream(Protocol):
    """A stream of messages: gRPC's, either side, or a test's."""

    async def read(self) -> bytes | None:
        """The next message, None at the end. Raises NetworkError."""

    async def write(self, data: bytes) -> None:
        """Send a message; waits for flow control. Raises NetworkError."""

    async def finish(self) -> None:
        """Say that nothing more will be written; reading goes on. Only the dialler calls it."""


class Authenticator(Protocol):
    """Proves who we are and checks who the peer is, over both hellos as they were sent."""

    def prove(self, dialler: bool, ours: bytes, theirs: bytes) -> Proof: ...

    def verify(self, dialler: bool, ours: bytes, theirs: bytes, hello: Hello, proof: Proof) -> GatewayId:
        """The gateway that sent `hello` (`theirs` are its bytes). Raises PeerError."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    frame_bytes: int = 1 << 20
    """A data frame is filled up to this."""
    buffer_bytes: int = 4 << 20
    """Segments that wait for the link, all lanes together."""
    windows_bytes: int = 32 << 20
    """What imported lanes may have under way beyond the least of each, all together (`mesh.link.window`)."""
    packs: bool = False
    """Whether batches that we export are compressed for the way, where the peer knows of it and it pays."""
    greeting_s: float = 10.0
    request_s: float = 30.0
