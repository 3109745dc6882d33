"""One side of `bench.link`: the exporter listens and sends, the importer dials and reads."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.heap import keep_pages
from gateway.rpc.tls13 import require_tls13

require_tls13()
keep_pages()

import grpc  # noqa: E402  # after the line above, which decides what gRPC reads from its environment

from certs.authority import Authority  # noqa: E402
from certs.bundle import bundle_of  # noqa: E402
from certs.store import read_certificates, write_certificates, write_key  # noqa: E402
from gateway.link.lanes import ExportLane  # noqa: E402
from gateway.link.ports import SessionLimits  # noqa: E402
from gateway.link.session import Session  # noqa: E402
from gateway.peers.features import FEATURES  # noqa: E402
from gateway.rpc.credentials import (  # noqa: E402
    ServerTrust,
    TransportLimits,
    channel_credentials,
    channel_options,
    server_credentials,
    server_options,
)
from gateway.rpc.identity import load_identity  # noqa: E402
from gateway.rpc.streams import OPEN_METHOD, AcceptedStream, DialledStream  # noqa: E402
from mesh.errors import MeshError  # noqa: E402
from mesh.ids import GatewayId, GatewayName, OrgId  # noqa: E402
from mesh.link.frames import Hello, LaneOpen, Proof  # noqa: E402
from mesh.link.machine import Link  # noqa: E402
from mesh.log import LogRange  # noqa: E402
from mesh.segment import Segment  # noqa: E402
from mesh.shares import PeerState, StartAt  # noqa: E402
from mesh.spans import Span  # noqa: E402
from mesh.trust.leaf import PeerTrust  # noqa: E402

if TYPE_CHECKING:
    from bench.link import Variant

ORGANIZATIONS = {"exporter": "acme.example", "importer": "globex.example"}
OTHER = {"exporter": "importer", "importer": "exporter"}
WINDOW_BYTES = 16 << 20


def write_identities(directory: Path) -> None:
    now = datetime.now(UTC)
    for side, name in ORGANIZATIONS.items():
        authority = Authority.create(OrgId(name), now)
        leaf = authority.issue(GatewayName("one"), now)
        write_key(directory / f"{side}.key", leaf.key)
        write_certificates(directory / f"{side}.pem", [leaf.certificate])
        write_certificates(directory / f"{side}.ca", [authority.certificate])


class Trusting:
    """TLS has checked who is there; what a link's proof costs is none of this measurement."""

    def prove(self, dialler: bool, ours: bytes, theirs: bytes) -> Proof:
        return Proof((b"leaf",), b"signed")

    def verify(self, dialler: bool, ours: bytes, theirs: bytes, hello: Hello, proof: Proof) -> GatewayId:
        return GatewayId(OrgId(hello.organization), GatewayName(hello.gateway))


class SideRun:
    """`moved_bytes`, `cpu_s` and `wall_s` are known once `run` has returned."""

    def __init__(self, side: str, variant: Variant, directory: Path, size_bytes: int) -> None:
        self.side = side
        self._variant = variant
        self._directory = directory
        self._size_bytes = size_bytes
        self._frame_bytes = variant.get("frame_kb", 1024) << 10
        self._lanes = variant.get("lanes", 4)
        self.moved_bytes = 0
        self.cpu_s = self.wall_s = 0.0
        self._done = asyncio.Event()
        self._began: tuple[float, float] | None = None

    def _begin(self) -> None:
        self._began = self._began or (_cpu_now_s(), time.monotonic())

    def _end(self) -> None:
        assert self._began is not None
        self.cpu_s, self.wall_s = _cpu_now_s() - self._began[0], time.monotonic() - self._began[1]

    async def run(self, port: int) -> None:
        identity = load_identity(self._directory / f"{self.side}.pem", self._directory / f"{self.side}.key")
        other = OTHER[self.side]
        org = OrgId(ORGANIZATIONS[other])
        authorities = read_certificates(self._directory / f"{other}.ca")
        peer = PeerTrust(PeerState.ACTIVE, bundle_of(org, authorities, datetime.now(UTC)))
        limits = TransportLimits(max_message_bytes=20 << 20)
        if self.side == "importer":
            options = [*channel_options(peer, limits), *self._variant.options]
            address = f"127.0.0.1:{port}"
            async with grpc.aio.secure_channel(
                address, channel_credentials(identity, peer), options=options
            ) as channel:
                call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(OPEN_METHOD)()
                await self._import(call)
            return
        server = grpc.aio.server(options=[*server_options(limits), *self._variant.options])
        handler: Any = grpc.stream_stream_rpc_method_handler(self._accept)
        service, method = OPEN_METHOD[1:].split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        print(server.add_secure_port("127.0.0.1:0", server_credentials(ServerTrust(identity, [peer]))), flush=True)
        await server.start()
        await self._done.wait()
        await server.stop(1)

    # --- gRPC alone

    async def _accept(self, _: Any, context: Any) -> None:
        if self._variant.kind == "session":
            await self._session(AcceptedStream(context), dialler=False)
        else:
            frame = os.urandom(self._frame_bytes)
            self._begin()
            while self.moved_bytes < self._size_bytes:
                await context.write(frame)
                self.moved_bytes += len(frame)
            self._end()
        self._done.set()

    async def _import(self, call: Any) -> None:
        if self._variant.kind == "session":
            await self._session(DialledStream(call), dialler=True)
            return
        while isinstance(message := await call.read(), bytes):
            self._begin()
            self.moved_bytes += len(message)
        self._end()

    # --- all of ours

    async def _session(self, stream: Any, *, dialler: bool) -> None:
        features = FEATURES if self._variant.get("seal", 1) else ()
        hello = Hello(ORGANIZATIONS[self.side], "one", os.urandom(32), features=features)
        session = Session(
            Link(hello, dialler=dialler, now_s=time.monotonic()),
            stream,
            authenticator=Trusting(),
            export=self._export,
            answer=_no_answer,
            limits=SessionLimits(frame_bytes=self._frame_bytes),
            clock=time.monotonic,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_run(session))
            if dialler:
                await session.ready.wait()
                readers = [group.create_task(self._read(session, number)) for number in range(self._lanes)]
                await asyncio.wait(readers)
                self._end()
                session.drain("done", "measured")
            await running

    async def _export(self, session: Session, lane: ExportLane) -> None:
        batch_bytes = self._variant.get("batch_kb", 256) << 10
        fetched = memoryview(os.urandom(self._frame_bytes))
        batches = tuple(
            fetched[at : at + batch_bytes] for at in range(0, self._frame_bytes - batch_bytes + 1, batch_bytes)
        )
        lane.open("0" * 32, 0, LogRange(0, 1 << 40, 1 << 40))
        self._begin()
        records, sent, position = 100 * len(batches), 0, 0
        while sent < self._size_bytes // self._lanes:
            await lane.send(Segment(position, position + records, position, (Span(position, records),), batches))
            position, sent = position + records, sent + self._frame_bytes
        self._end()
        lane.end("done", "", retriable=False)

    async def _read(self, session: Session, number: int) -> None:
        window = self._variant.get("window_kb", WINDOW_BYTES >> 10) << 10
        lane = session.open_lane(
            lambda lane_number: LaneOpen(lane_number, "share", "topic", number, StartAt(), credit_bytes=window)
        )
        await lane.opened()
        self._begin()
        with suppress(MeshError):
            while True:
                segment = await lane.next()
                self.moved_bytes += segment.size_bytes
                lane.acknowledge(segment.next_source_offset)
                lane.credit(segment.weight_bytes)


async def _run(session: Session) -> None:
    with suppress(MeshError):
        await session.run()


async def _no_answer(session: Session, body: object) -> object:
    raise AssertionError("nobody asks")


def _cpu_now_s() -> float:
    used = os.times()
    return used.user + used.system
