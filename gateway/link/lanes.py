"""The two ends of a lane as exporter and importer hold them: no gRPC, no frames, only segments and positions.

The session feeds them; whatever ends the lane or the link ends every wait on it with an error that says why.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from mesh.errors import MeshError
from mesh.lanes.losses import Loss
from mesh.link.errors import LaneEnded
from mesh.link.frames import Acknowledgement, Credit, LaneEnd, LaneOpen, LaneOpened, LaneStatus
from mesh.link.lane import Lane
from mesh.link.window import Window
from mesh.log import LogRange
from mesh.segment import Segment


class LinkSide(Protocol):
    """What a lane needs of its session."""

    @property
    def joins(self) -> bool: ...
    def send_on(self, lane: Lane, frame: LaneStatus | Credit | Acknowledgement | LaneEnd) -> None: ...
    def send_opened(self, lane: Lane, opened: LaneOpened) -> None: ...
    async def send_segment(self, lane: Lane, segment: Segment) -> None: ...


class ImportLane:
    """The importer's end: segments come out, credit and acknowledgements go back."""

    def __init__(self, side: LinkSide, lane: Lane, window: Window) -> None:
        self._side = side
        self._lane = lane
        self._window = window
        self._lying_bytes = 0
        self._segments: deque[Segment] = deque()
        self._changed = asyncio.Event()
        self._failure: MeshError | None = None
        self.answer: LaneOpened | None = None
        self.status: LaneStatus | None = None
        self.on_status: Callable[[LaneStatus], None] = lambda status: None
        """Told of each word of the source's offsets, at once."""

    async def opened(self) -> LaneOpened:
        """Wait for the provider's answer. Raises LaneEnded, LinkLost."""
        while self.answer is None:
            await self._wait()
        return self.answer

    async def next(self) -> Segment:
        """The next segment, in order and without a hole. Raises LaneEnded, LinkLost."""
        while not self._segments:
            await self._wait_for_data()
        segment = self._segments.popleft()
        self._lying_bytes -= segment.weight_bytes
        self._window.took(self._lying_bytes)
        return segment

    async def _wait_for_data(self) -> None:
        """Tell the window what the wait is about: the wire, or new records."""
        if self.status is not None and self.status.last_stable <= self._lane.position:
            self._window.rest()
            await self._wait()
            return
        clock = asyncio.get_running_loop().time
        began_s = clock()
        await self._wait()
        self._window.idle(clock() - began_s)

    @property
    def window_bytes(self) -> int:
        """How much may be under way at present."""
        return self._window.size_bytes

    def credit(self, size_bytes: int) -> None:
        """Say that so much was dealt with: the provider may send as much again, or what the window makes of it."""
        given = self._window.credit(size_bytes, asyncio.get_running_loop().time())
        if given:
            self._side.send_on(self._lane, Credit(self._lane.number, given))

    def acknowledge(self, source_offset: int) -> None:
        """State that everything before `source_offset` is durable here."""
        self._side.send_on(self._lane, Acknowledgement(self._lane.number, source_offset))

    def end(self, code: str, detail: str = "") -> None:
        """Stop the lane from our side. Allowed at any time, twice too."""
        self._side.send_on(self._lane, LaneEnd(self._lane.number, code, detail))

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._changed.clear()
        await self._changed.wait()

    # --- fed by the session

    def take(self, frame: LaneOpened | LaneStatus | LaneEnd | Segment) -> None:
        if isinstance(frame, Segment):
            self._segments.append(frame)
            self._lying_bytes += frame.weight_bytes
            self._shown(frame.next_source_offset)
        elif isinstance(frame, LaneOpened):
            self.answer = frame
            self._heard(LaneStatus(frame.lane, frame.log_start, frame.log_end, frame.last_stable))
        elif isinstance(frame, LaneStatus):
            self._heard(frame)
        else:
            self._failure = LaneEnded(frame.code, frame.detail, frame.retriable, frame.loss)
        self._changed.set()

    def _shown(self, source_offset: int) -> None:
        """The log reaches at least as far as its data: nobody need say so."""
        status = self.status
        if status is not None and status.last_stable < source_offset:
            self.status = replace(status, log_end=max(status.log_end, source_offset), last_stable=source_offset)

    def _heard(self, status: LaneStatus) -> None:
        self.status = status
        self.on_status(status)

    def close(self) -> None:
        """Nothing more comes: what the window had, others may have."""
        self._window.close()

    def fail(self, error: MeshError) -> None:
        self._failure = self._failure or error
        self._changed.set()


class ExportLane:
    """The exporter's end: segments go in as far as credit and the link's buffer allow."""

    def __init__(self, side: LinkSide, lane: Lane) -> None:
        self._side = side
        self._lane = lane
        self._credited = asyncio.Event()
        self._log_range: LogRange | None = None
        self.topic_id = ""
        """The source topic's, as soon as it is known."""

    @property
    def opening(self) -> LaneOpen:
        return self._lane.opening

    @property
    def acknowledged(self) -> int:
        """The source offset before which everything is durable at the importer, -1 before the first word."""
        return self._lane.acknowledged

    @property
    def position(self) -> int:
        return self._lane.position

    @property
    def joins(self) -> bool:
        """Whether an entry of a segment's batches may hold several whole batches, one after another."""
        return self._side.joins

    @property
    def log_range(self) -> LogRange | None:
        """The source log's, as the importer was told last."""
        return self._log_range

    @property
    def log_end(self) -> int:
        return self._log_range.end if self._log_range is not None else -1

    def open(self, topic_id: str, first_source_offset: int, log_range: LogRange) -> None:
        self._log_range = log_range
        self.topic_id = topic_id
        self._side.send_opened(self._lane, LaneOpened(self._lane.number, topic_id, first_source_offset, *log_range))

    async def credit(self, least_bytes: int = 1) -> int:
        """Wait until so much may be sent, and answer how many bytes may."""
        while self._lane.credit_bytes < least_bytes:
            self._credited.clear()
            await self._credited.wait()
        return self._lane.credit_bytes

    async def send(self, segment: Segment) -> None:
        """Hand a segment over; waits while the link's buffer is full."""
        await self.credit()
        await self._side.send_segment(self._lane, segment)

    def status(self, log_range: LogRange) -> None:
        """Tell the importer how far the source log is, where that has changed."""
        if log_range != self._log_range:
            self._log_range = log_range
            self._side.send_on(self._lane, LaneStatus(self._lane.number, *log_range))

    def end(self, code: str, detail: str, *, retriable: bool, loss: Loss | None = None) -> None:
        self._side.send_on(self._lane, LaneEnd(self._lane.number, code, detail, retriable, loss))

    def credited(self) -> None:
        self._credited.set()
