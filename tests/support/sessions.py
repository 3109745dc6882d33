"""Two sessions joined in memory: a dialler and an acceptor, with what each exports and answers given by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.link.lanes import ExportLane
from gateway.link.ports import SessionLimits
from gateway.link.session import Session
from mesh.errors import MeshError
from mesh.ids import GatewayId, GatewayName, OrgId
from mesh.link.frames import Hello, Proof
from mesh.link.machine import Link
from mesh.testing.links import hello
from mesh.testing.streams import Faults, StreamEnd, stream_pair
from mesh.trust.errors import ProofRefused

Export = Callable[[Session, ExportLane], Awaitable[None]]
Answer = Callable[[Session, object], Awaitable[object]]
LIMITS = SessionLimits()


class Trusting:
    """An authenticator that takes any proof but one that says "refuse me"."""

    def __init__(self, signature: bytes = b"signed") -> None:
        self._signature = signature

    def prove(self, dialler: bool, ours: bytes, theirs: bytes) -> Proof:
        return Proof((b"leaf",), self._signature)

    def verify(self, dialler: bool, ours: bytes, theirs: bytes, hello: Hello, proof: Proof) -> GatewayId:
        if proof.signature == b"refuse me":
            raise ProofRefused("the test wants it so")
        return GatewayId(OrgId(hello.organization), GatewayName(hello.gateway))


async def serve_nothing(session: Session, lane: ExportLane) -> None:
    await asyncio.Event().wait()


async def echo(session: Session, body: object) -> object:
    return body


@dataclass
class Side:
    """How one side is made; `error` is what its session ended with, None where it drained."""

    dialler: bool
    export: Export = serve_nothing
    answer: Answer = echo
    signature: bytes = b"signed"
    limits: SessionLimits = LIMITS
    hello: dict[str, object] = field(default_factory=dict)
    error: MeshError | None = None
    stream: StreamEnd = field(init=False)
    session: Session = field(init=False)
    task: asyncio.Task[None] = field(init=False)

    def make(self, stream: StreamEnd) -> None:
        organization = "acme.example" if self.dialler else "globex.example"
        clock = asyncio.get_running_loop().time
        self.stream = stream
        self.session = Session(
            Link(hello(organization, **self.hello), dialler=self.dialler, now_s=clock()),
            stream,
            authenticator=Trusting(self.signature),
            export=self.export,
            answer=self.answer,
            limits=self.limits,
            clock=clock,
        )

    async def run(self) -> None:
        try:
            await self.session.run()
        except MeshError as error:
            self.error = error
        finally:
            # A dialler that ends cancels its call; an acceptor's stream ends with its handler, or is aborted.
            if self.dialler or self.error is not None:
                self.stream.cut()
            else:
                self.stream.end()


@dataclass
class Pair:
    dialler: Side
    acceptor: Side

    async def open(self) -> None:
        await self.dialler.session.ready.wait()
        await self.acceptor.session.ready.wait()

    async def over(self) -> None:
        """Both sessions have ended."""
        await asyncio.wait([self.dialler.task, self.acceptor.task])


@asynccontextmanager
async def joined(
    dialler: Side | None = None, acceptor: Side | None = None, faults: Faults | None = None
) -> AsyncIterator[Pair]:
    """Two sessions that run; they are cancelled at the end if they have not ended."""
    pair = Pair(dialler or Side(True), acceptor or Side(False))
    ends = stream_pair(faults)
    async with asyncio.TaskGroup() as group:
        for side, stream in zip((pair.dialler, pair.acceptor), ends, strict=True):
            side.make(stream)
            side.task = group.create_task(side.run())
        try:
            yield pair
        finally:
            pair.dialler.task.cancel()
            pair.acceptor.task.cancel()
