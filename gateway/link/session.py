"""One link as it runs: the machine of `mesh.link`, a stream of frames, and the tasks that move them.

Strategy: a reader that never waits for a lane, a writer that takes everything there is (small frames at once,
full ones under load), a ticker for heartbeats, and a task for each lane that we export. The first of reader, writer
and ticker to fail ends the session; every lane then learns why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from gateway.failing import ended_by
from gateway.link.lanes import ExportLane, ImportLane
from gateway.link.ports import Authenticator, FrameStream, SessionLimits
from gateway.losses import loss_of
from gateway.meters import LinkMeter, Tally
from mesh.batch.stamp import Buffer
from mesh.errors import MeshError, NetworkError, PeerError
from mesh.ids import GatewayId
from mesh.link.errors import FrameOversized, LinkDrained, LinkLost
from mesh.link.features import JOINED, PACKED, agreed
from mesh.link.frames import (
    Acknowledgement,
    Credit,
    Data,
    Frame,
    GoAway,
    Hello,
    LaneEnd,
    LaneOpen,
    LaneOpened,
    LaneStatus,
    Proof,
    Reply,
    Request,
)
from mesh.link.lane import Lane
from mesh.link.machine import Link
from mesh.link.outgoing import DataQueue, coalesce
from mesh.link.packing import Packing
from mesh.link.seal import SEALED, Seal
from mesh.link.table import LaneState, LinkState
from mesh.link.window import Windows
from mesh.segment import Segment
from mesh.wire.codec import decode_frame, encode_frame, frame_chunks, hello_part
from mesh.wire.packing import packed

log = structlog.get_logger()


class Session:
    """A link that runs. `run` returns when the link has drained, and raises what ended it otherwise."""

    def __init__(
        self,
        link: Link,
        stream: FrameStream,
        *,
        authenticator: Authenticator,
        export: Callable[[Session, ExportLane], Awaitable[None]],
        answer: Callable[[Session, object], Awaitable[object]],
        limits: SessionLimits,
        clock: Callable[[], float],
        meter: LinkMeter | None = None,
        windows: Windows | None = None,
    ) -> None:
        self._link = link
        self._stream = stream
        self._authenticator = authenticator
        self._export = export
        self._answer = answer
        self._limits = limits
        self._clock = clock
        self._meter = meter or Tally()
        self._windows = windows or Windows(limits.windows_bytes)
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._draining = False
        self._peer_leaves = False
        self._aborted = asyncio.Event()
        self._abort_error: MeshError = LinkLost("this gateway closed it")
        self._data = DataQueue()
        self._sequence = 0
        self._hellos = (hello_part(encode_frame(0, link.hello)), b"")
        self._seal: Seal | None = None
        self._may_pack = False
        self._max_unpacked_bytes = 0
        self._packings: dict[int, Packing] = {}
        self._imports: dict[int, ImportLane] = {}
        self._exports: dict[int, tuple[ExportLane, asyncio.Task[None]]] = {}
        self._replies: dict[int, asyncio.Future[object]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.ready = asyncio.Event()
        self.peer: GatewayId | None = None
        self.failure: MeshError | None = None

    def __repr__(self) -> str:
        return f"<Session {self.peer} {self._link!r}>"

    @property
    def is_open(self) -> bool:
        # The machine is open at the peer's proof; we are once it was found true.
        return self._link.state is LinkState.OPEN and self.peer is not None and self.failure is None

    @property
    def features(self) -> tuple[str, ...]:
        """The optional parts that the peer understands, once its Hello is known."""
        return self._link.peer_hello.features if self._link.peer_hello is not None else ()

    @property
    def joins(self) -> bool:
        """Whether an entry of a segment's batches may hold several: both sides know of it."""
        return agreed(JOINED, self._link.hello, self._link.peer_hello)

    @property
    def peer_hello(self) -> Hello | None:
        return self._link.peer_hello

    @property
    def import_count(self) -> int:
        return len(self._imports)

    # --- for the importer and for questions

    def open_lane(self, opening: Callable[[int], LaneOpen]) -> ImportLane:
        """Ask the peer for a lane; `opening` gets its number, and its credit is the most that the lane may have.

        Raises LinkLost where the link is not open.
        """
        if not self.is_open:
            raise self._lost()
        wanted = opening(self._link.next_lane())
        window = self._windows.window(wanted.credit_bytes)
        lane = self._link.open_lane(replace(wanted, credit_bytes=window.size_bytes))
        self._imports[lane.number] = ImportLane(self, lane, window)
        self._wake.set()
        return self._imports[lane.number]

    async def ask(self, body: object) -> object:
        """Send a request and wait for its reply. Raises LinkLost."""
        if not self.is_open:
            raise self._lost()
        if not self._link.may_ask:
            # A link that answers no questions any more is of no use: the next one may.
            silent = LinkLost("too many requests to the peer are unanswered")
            self.abort(silent)
            raise silent
        request_id = self._link.ask(body)
        future = self._replies[request_id] = asyncio.get_running_loop().create_future()
        self._wake.set()
        try:
            async with asyncio.timeout(self._limits.request_s):
                return await future
        except TimeoutError as error:
            raise LinkLost(f"a request had no answer in {self._limits.request_s:g} s") from error
        finally:
            del self._replies[request_id]

    def _lost(self) -> NetworkError:
        """Why there is nothing more to be had of this link. What the peer did wrong on it is no fault of a lane."""
        if self.failure is None:
            return LinkLost("it is closing")
        return self.failure if isinstance(self.failure, NetworkError) else LinkLost(str(self.failure))

    @property
    def _leaving(self) -> bool:
        return self._draining or self._peer_leaves

    def exports(self) -> list[ExportLane]:
        return [lane for lane, _ in self._exports.values()]

    def end_export(self, lane: ExportLane, code: str, detail: str, *, retriable: bool = False) -> None:
        """Stop serving a lane at once."""
        for export, task in list(self._exports.values()):
            if export is lane:
                export.end(code, detail, retriable=retriable)
                task.cancel()

    def drain(self, code: str, detail: str) -> None:
        """Take no new lanes, end those we serve, and let `run` return when all is written."""
        self._link.go_away(code, detail)
        for lane, task in list(self._exports.values()):
            lane.end(code, detail, retriable=True)
            task.cancel()
        for imported in self._imports.values():
            imported.fail(LinkDrained("this gateway goes away"))
        self._draining = True
        self._wake.set()

    def abort(self, error: MeshError) -> None:
        """End the link at once with `error`: nothing more is read or written."""
        self._abort_error = error
        self._aborted.set()

    # --- LinkSide

    def send_on(self, lane: Lane, frame: LaneStatus | Credit | Acknowledgement | LaneEnd) -> None:
        if self.failure is not None:
            return
        self._link.send_on(lane, frame)
        if isinstance(frame, LaneEnd):
            self._forget(lane)
        self._wake.set()

    def send_opened(self, lane: Lane, opened: LaneOpened) -> None:
        self._link.opened(lane, opened)
        self._wake.set()

    async def send_segment(self, lane: Lane, segment: Segment) -> None:
        while self._data.size_bytes >= self._limits.buffer_bytes:
            self._room.clear()
            await self._room.wait()
        self._link.send_segment(lane, segment)
        self._data.add(lane.number, segment)
        self._wake.set()

    # --- running

    async def run(self) -> None:
        """Greet, prove, then move frames until the link has drained. Raises the MeshError that ended it otherwise."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._link.greet()
                for part in (self._read, self._write, self._tick):
                    group.create_task(part())
                await self._watch()  # in the body: see `ended_by`
        except BaseExceptionGroup as errors:
            self.failure = self._judged(ended_by(errors))
        finally:
            self._close(self.failure or LinkLost("the connection was closed"))
        if self.failure is not None and not isinstance(self.failure, LinkDrained):
            raise self.failure

    def _judged(self, error: MeshError) -> MeshError:
        """Where a side has said go-away, it does not matter which task sees the connection end first."""
        if self._leaving and isinstance(error, NetworkError) and not self._aborted.is_set():
            return LinkDrained("both sides are done")
        return error

    async def _watch(self) -> None:
        await self._aborted.wait()
        raise self._abort_error

    async def _read(self) -> None:
        while True:
            data = await self._stream.read()
            if data is None:
                raise LinkDrained("both sides are done") if self._leaving else LinkLost("the peer closed it")
            if len(data) > self._link.hello.max_frame_bytes:
                raise FrameOversized(len(data), self._link.hello.max_frame_bytes)
            self._meter.received(len(data))
            if self._seal is not None:
                self._seal.check(not self._link.dialler, data)
            sequence, frame = decode_frame(data, self._max_unpacked_bytes)
            if isinstance(frame, Hello):
                self._hellos = (self._hellos[0], hello_part(data))
            if self._link.receive(sequence, frame, self._clock()):
                self._dispatch(frame)
            if self._link.outgoing:
                self._wake.set()

    async def _write(self) -> None:
        while True:
            while self._link.outgoing or self._data:
                # Data only when nothing else waits: a lane may have opened, and sent, while we wrote.
                while self._link.outgoing:
                    frames, self._link.outgoing = coalesce(self._link.outgoing), []
                    for frame in frames:
                        await self._send(frame)
                if self._data:
                    data = self._data.take(min(self._limits.frame_bytes, self._link.max_data_bytes))
                    self._room.set()
                    await self._send(data)
            if self._draining and not self._exports:
                return await self._finish()
            self._wake.clear()
            await self._wake.wait()

    async def _finish(self) -> None:
        # The acceptor's stream ends with its handler; the dialler half-closes and reads what the peer still sends.
        if not self._link.dialler:
            raise LinkDrained("both sides are done")
        await self._stream.finish()

    async def _send(self, frame: Frame) -> None:
        chunks = frame_chunks(self._sequence, frame, self._pack)
        self._sequence += 1
        if self._seal is not None and not isinstance(frame, Hello):
            chunks.append(self._seal.of(self._link.dialler, chunks))
        data = b"".join(chunks)
        await self._stream.write(data)
        self._link.sent(self._clock())
        self._meter.sent(len(data))

    def _pack(self, lane: int, batches: Sequence[Buffer]) -> bytes | None:
        """The batches compressed, where both sides want that and it pays (`mesh.link.packing`)."""
        if not self._may_pack:
            return None
        packing = self._packings.setdefault(lane, Packing())
        size_bytes = sum(map(len, batches))
        if not packing.wants(size_bytes):
            return None
        small = packed(b"".join(batches))
        if not packing.tried(size_bytes, len(small)):
            return None
        self._meter.packed(size_bytes, len(small))
        return small

    async def _tick(self) -> None:
        try:
            async with asyncio.timeout(self._limits.greeting_s):
                await self.ready.wait()
        except TimeoutError as error:
            raise LinkLost(f"the peer did not prove itself in {self._limits.greeting_s:g} s") from error
        while True:
            due_s = self._link.tick(self._clock())
            if self._link.outgoing:
                self._wake.set()
            await asyncio.sleep(max(0.0, due_s - self._clock()))

    # --- what frames mean here

    def _dispatch(self, frame: Frame) -> None:
        match frame:
            case Data():
                for number, segment in frame.segments:
                    if number in self._imports:
                        self._imports[number].take(segment)
            case LaneOpened() | LaneStatus():
                self._imports[frame.lane].take(frame)
            case LaneEnd():
                self._lane_ended(frame)
            case Credit() | Acknowledgement():
                if frame.lane in self._exports:
                    self._exports[frame.lane][0].credited()
            case LaneOpen():
                self._serve(frame)
            case Request():
                assert self._group is not None
                self._group.create_task(self._reply(frame))
            case Reply():
                future = self._replies.get(frame.id)
                if future is not None and not future.done():
                    future.set_result(frame.body)
            case Hello():
                self._seal = self._agreed_seal(frame)
                if agreed(PACKED, self._link.hello, frame):
                    self._may_pack = self._limits.packs
                    self._max_unpacked_bytes = self._link.hello.max_frame_bytes
                self._link.prove(self._authenticator.prove(self._link.dialler, *self._hellos))
            case Proof():
                assert self._link.peer_hello is not None
                self.peer = self._authenticator.verify(self._link.dialler, *self._hellos, self._link.peer_hello, frame)
                self.ready.set()
            case GoAway():
                self._gone_away(frame)

    def _agreed_seal(self, theirs: Hello) -> Seal | None:
        """None where a side does not know of seals: its hello says so, and is signed."""
        if not agreed(SEALED, self._link.hello, theirs):
            return None
        ours, other = self._hellos
        return Seal(ours, other) if self._link.dialler else Seal(other, ours)

    def _gone_away(self, frame: GoAway) -> None:
        # Our lanes go on over the next link; those we serve are ended by the peer.
        for lane in self._imports.values():
            lane.fail(LinkLost(f"the peer goes away: {frame.detail or frame.code}"))
        self._peer_leaves = True
        self._draining = self._draining or self._link.dialler
        self._wake.set()

    def _serve(self, opening: LaneOpen) -> None:
        lane = self._link.lanes[opening.lane]
        export = ExportLane(self, lane)
        assert self._group is not None
        task = self._group.create_task(self._run_export(export))
        self._exports[lane.number] = (export, task)
        # Not in the task itself: one that is cancelled before its first step never runs.
        task.add_done_callback(lambda _: self._exported(lane.number))

    def _exported(self, number: int) -> None:
        self._exports.pop(number, None)
        self._wake.set()

    async def _run_export(self, export: ExportLane) -> None:
        try:
            await self._export(self, export)
            export.end("done", "", retriable=False)
        except MeshError as error:
            export.end(error.code, str(error), retriable=error.retriable, loss=loss_of(error))
        except Exception:  # a mistake of ours in one lane must not take the other lanes with it
            log.exception("lane failed", share=export.opening.share, topic=export.opening.topic)
            export.end("internal-error", "the provider cannot serve this lane", retriable=False)

    async def _reply(self, request: Request) -> None:
        body = await self._answer(self, request.body)
        with suppress(PeerError):  # the link may have closed while we looked the answer up
            self._link.reply(request.id, body)
        self._wake.set()

    def _lane_ended(self, frame: LaneEnd) -> None:
        if frame.lane in self._imports:
            self._imports[frame.lane].take(frame)
        elif frame.lane in self._exports:
            self._exports[frame.lane][1].cancel()
        if (lane := self._link.lanes.get(frame.lane)) is not None:
            self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        if lane.state is LaneState.ENDED:
            self._link.forget(lane)
            self._packings.pop(lane.number, None)
            self._data.drop(lane.number)
            self._room.set()
            if (imported := self._imports.pop(lane.number, None)) is not None:
                imported.close()

    def _close(self, error: MeshError) -> None:
        self.failure = error
        self._link.close()
        for lane in self._imports.values():
            lane.fail(self._lost())
            lane.close()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(LinkLost(str(error)))
        self.ready.set()
