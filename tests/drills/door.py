"""A port under attack, and what strangers may try on it: without TLS, with bad TLS, with a certificate, with a link."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc

from gateway.rpc.credentials import TransportLimits, open_channel
from gateway.rpc.identity import Identity
from gateway.rpc.streams import CATALOG_METHOD, OPEN_METHOD, DialledStream
from mesh.link.errors import LinkLost
from mesh.link.frames import Frame, Hello, Proof
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.leaf import PeerTrust
from mesh.trust.transcript import proof_digest
from mesh.wire.codec import decode_frame, encode_frame, hello_part
from mesh.wire.v1 import catalog_pb2
from tests.drills.attack import GotIn

DEADLINE_S = 10.0
QUIET_S = 2.0
"""How long somebody who was let in would be listened to; a refusal is awaited in the log, however late it comes."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How an HTTP/2 client begins, with empty settings."""
SETTINGS = 4
"""The kind of frame with which an HTTP/2 server begins."""
TLS_ALERT = 21
LIMITS = TransportLimits()


@dataclass(frozen=True)
class Door:
    """`bundle` is of who stands behind it; `noted` the reasons of refusals in its log, in order."""

    address: str
    bundle: Bundle
    noted: Callable[[], list[str]]

    @property
    def trust(self) -> PeerTrust:
        return PeerTrust(PeerState.ACTIVE, self.bundle)

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition(":")
        return host, int(port)

    async def reason(self, before: int) -> str:
        """The first reason noted after `before` of them."""
        async with asyncio.timeout(DEADLINE_S):
            while len(found := self.noted()) <= before:  # noqa: ASYNC110  # another process writes the log
                await asyncio.sleep(0.01)  # another process writes the log
        return found[before]


# --- on the level of the connection


async def knock(door: Door, context: ssl.SSLContext | None) -> str:
    """How the door refuses the connection. Raises GotIn where it answers as a server of HTTP/2."""
    return await asyncio.to_thread(_knock, door, context)


def _knock(door: Door, context: ssl.SSLContext | None) -> str:
    try:
        with socket.create_connection(door.place, DEADLINE_S) as plain:
            if context is None:
                return _settings(plain)
            with context.wrap_socket(plain, server_hostname=door.trust.expected_dns_name) as secured:
                return _settings(secured)
    except (ssl.SSLEOFError, ConnectionError):
        return "closed"
    except ssl.SSLError as error:
        return (error.reason or type(error).__name__).lower().replace("_", "-")


def _settings(connection: socket.socket) -> str:
    connection.sendall(PREFACE)
    answer = connection.recv(9)
    if len(answer) == 9 and answer[3] == SETTINGS:
        raise GotIn("the server greets")
    return "closed" if not answer or answer[0] == TLS_ALERT else f"answered {answer.hex()}"


# --- on the level of calls


@asynccontextmanager
async def calling(door: Door, identity: Identity) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(identity, door.trust, door.address, LIMITS) as channel:
        yield channel


async def catalog(channel: grpc.aio.Channel) -> catalog_pb2.CatalogReply:
    """Raises grpc.aio.AioRpcError."""
    method = channel.unary_unary(
        CATALOG_METHOD,
        request_serializer=catalog_pb2.CatalogRequest.SerializeToString,
        response_deserializer=catalog_pb2.CatalogReply.FromString,
    )
    reply: catalog_pb2.CatalogReply = await method(catalog_pb2.CatalogRequest(), timeout=DEADLINE_S)
    return reply


async def refused_call(door: Door, channel: grpc.aio.Channel) -> str:
    """The reason for which a call is refused; the caller itself is told the same thing always."""
    before = len(door.noted())
    try:
        await catalog(channel)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return f"{error.code().name}: {error.details()}"
        if error.details() != "not a peer of this organization":
            return f"told the caller: {error.details()}"
        return await door.reason(before)
    raise GotIn("the catalog")


# --- on the level of frames


class Speaker:
    """A dialler that says what it likes on a link."""

    def __init__(self, stream: DialledStream, identity: Identity) -> None:
        self._stream, self.identity = stream, identity
        self._sequence = 0
        self._ours = self._theirs = b""

    async def say(self, frame: Frame) -> None:
        """Raises LinkLost."""
        data = encode_frame(self._sequence, frame)
        self._sequence += 1
        if isinstance(frame, Hello):
            self._ours = hello_part(data)
        await self._stream.write(data)

    async def hear(self) -> Frame | None:
        """The next frame, None at the end. Raises LinkLost."""
        async with asyncio.timeout(DEADLINE_S):
            data = await self._stream.read()
        if data is None:
            return None
        _, frame = decode_frame(data)
        if isinstance(frame, Hello):
            self._theirs = hello_part(data)
        return frame

    async def greet(self) -> None:
        own = self.identity.id
        await self.say(Hello(own.org, own.name, nonce=bytes(range(32))))

    async def prove(self) -> None:
        """Hear the other's Hello and sign both."""
        await self._hear_until(Hello)
        digest = proof_digest("dialler", self._ours, self._theirs)
        await self.say(Proof(self.identity.chain_der, self.identity.sign(digest)))

    async def meet(self) -> None:
        """Greet and prove, as honest gateways do."""
        await self.greet()
        await self.prove()
        await self._hear_until(Proof)

    async def _hear_until(self, kind: type) -> None:
        while not isinstance(frame := await self.hear(), kind):
            if frame is None:
                raise LinkLost(f"it ended before a {kind.__name__}")


@asynccontextmanager
async def speaking(door: Door, identity: Identity) -> AsyncIterator[Speaker]:
    async with calling(door, identity) as channel:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(OPEN_METHOD)()
        try:
            yield Speaker(DialledStream(call), identity)
        finally:
            call.cancel()


async def ended(speaker: Speaker, *acts: Callable[[], Awaitable[None]]) -> list[Frame]:
    """What is heard after `acts` until the link ends, maybe before they are done, or nothing more is said on it."""
    heard: list[Frame] = []
    with suppress(LinkLost):
        for act in acts:
            await act()
    with suppress(LinkLost, TimeoutError):
        async with asyncio.timeout(QUIET_S):
            while (frame := await speaker.hear()) is not None:
                heard.append(frame)
    return heard
