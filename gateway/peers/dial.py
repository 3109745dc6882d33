"""One call to one address of a peer, as a stream of frames that is closed whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from gateway.rpc.credentials import TransportLimits, open_channel
from gateway.rpc.identity import Identity
from gateway.rpc.streams import OPEN_METHOD, DialledStream
from mesh.trust.leaf import PeerTrust


@asynccontextmanager
async def dialled(
    identity: Identity, peer: PeerTrust, address: str, limits: TransportLimits
) -> AsyncIterator[DialledStream]:
    """`Link.Open` at `address`. Raises BundleRefused; what fails later, the stream raises."""
    async with open_channel(identity, peer, address, limits) as channel:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(OPEN_METHOD)()
        try:
            yield DialledStream(call)
        finally:
            call.cancel()
