"""The state machine of one link: frames in, frames out, no IO and no clock.

Strategy: every frame, sent or received, is looked up in the tables of `table.py`; the machine then checks what a
table cannot say (sequence numbers, credit, order of segments). A driver moves bytes and time:
it puts received frames into `receive`, writes what `outgoing` holds, and calls `tick`.

Invariants:
  L1  nothing but Hello and Proof is accepted before the peer's proof was verified;
  L2  a lane's data arrive without hole, overlap or reordering, or the link breaks;
  L3  no lane sends beyond its credit by more than one segment;
  L4  frame numbers rise by one in each direction;
  L5  what a peer may make us hold is bounded: open lanes, unanswered requests, frames no larger than announced.
Both sides run the same code: only the parity of lane numbers tells dialler from acceptor.
"""

from __future__ import annotations

from mesh.link.errors import (
    FrameOutOfSequence,
    FrameUnexpected,
    PeerSilent,
    RequestsExceeded,
    SegmentTooLarge,
    VersionUnsupported,
)
from mesh.link.frames import (
    MAJOR,
    Acknowledgement,
    Credit,
    Data,
    Frame,
    GoAway,
    Heartbeat,
    Hello,
    LaneEnd,
    LaneOpen,
    LaneOpened,
    LaneStatus,
    Proof,
    Reply,
    Request,
    Role,
)
from mesh.link.lane import Lane
from mesh.link.table import BESIDE, LATE, LINK, LaneState, LinkState
from mesh.segment import Segment

KIND: dict[type, str] = {
    Hello: "hello",
    Proof: "proof",
    Heartbeat: "heartbeat",
    GoAway: "go_away",
    LaneOpen: "lane_open",
    LaneOpened: "lane_opened",
    LaneEnd: "lane_end",
    LaneStatus: "lane_status",
    Credit: "credit",
    Acknowledgement: "acknowledgement",
    Request: "request",
    Reply: "reply",
    Data: "data",
}

# A peer is silent when nothing came for this many of its announced heartbeat intervals.
SILENT_HEARTBEATS = 3
# Smaller announced intervals would let a peer end the link by its own jitter; larger ones would hide a dead peer.
HEARTBEAT_MS = (500, 60_000)
# Unanswered questions in one direction: each costs its receiver a task.
MAX_REQUESTS = 64
# Lanes that one peer may have open: as many partitions as one gateway serves, and a bound on its tasks.
MAX_LANES = 10_000
# A peer that takes smaller frames than this cannot be given the simplest batch with certainty.
MIN_FRAME_BYTES = 64 << 10
# Sequence, length and seal of a data frame, beside its segments.
FRAME_BYTES = 32


class Link:
    """One side of a link. `dialler` says who opened the connection."""

    def __init__(self, hello: Hello, *, dialler: bool, now_s: float) -> None:
        self.hello = hello
        self.dialler = dialler
        self.state = LinkState.NEW
        self.peer_hello: Hello | None = None
        self.lanes: dict[int, Lane] = {}
        self.outgoing: list[Frame] = []
        self._next_lane = 0 if dialler else 1
        self._highest_peer_lane = -1
        self._next_request = 0
        self._asked: set[int] = set()
        self._answering: set[int] = set()
        self._expected_sequence = 0
        self._last_received_s = now_s
        self._last_sent_s = now_s

    def __repr__(self) -> str:
        side = "dialler" if self.dialler else "acceptor"
        return f"<Link {side} {self.state.value} lanes {len(self.lanes)}>"

    # --- what we send

    def greet(self) -> None:
        self._send(self.hello)

    def prove(self, proof: Proof) -> None:
        self._send(proof)

    def go_away(self, code: str, detail: str = "") -> None:
        """Say that no new lanes are taken. Does nothing on a link that is not open."""
        if self.state in {LinkState.OPEN, LinkState.DRAINING}:
            self._send(GoAway(code, detail))

    def close(self) -> None:
        self.state = LinkState.CLOSED

    def ask(self, body: object) -> int:
        """Send a request; its reply comes back from `receive` with the id answered here.

        Not while `may_ask` is false: the peer would end the link.
        """
        assert self.may_ask
        request = Request(self._next_request, body)
        self._send(request)
        self._next_request += 1
        self._asked.add(request.id)
        return request.id

    @property
    def may_ask(self) -> bool:
        return len(self._asked) < MAX_REQUESTS

    def reply(self, request_id: int, body: object) -> None:
        self._send(Reply(request_id, body))
        self._answering.discard(request_id)

    def next_lane(self) -> int:
        """The number for the next lane that we open: even for the dialler, odd for the acceptor."""
        number = self._next_lane
        self._next_lane += 2
        return number

    def open_lane(self, opening: LaneOpen) -> Lane:
        """Ask for a lane. Raises FrameUnexpected where the link or the roles do not allow it."""
        if self.state is not LinkState.OPEN or not self._may(importer=self.hello, exporter=self.peer_hello):
            raise FrameUnexpected("lane_open", self.state.value)
        lane = Lane(opening, importing=True, credit_bytes=opening.credit_bytes)
        self.lanes[lane.number] = lane
        self._send_on(lane, opening)
        return lane

    def opened(self, lane: Lane, opened: LaneOpened) -> None:
        """Answer a lane that the peer asked for."""
        self._send_on(lane, opened)
        lane.position = opened.first_source_offset

    def send_segment(self, lane: Lane, segment: Segment) -> None:
        """Account for a segment that the driver is about to send; frames of data are the driver's to fill.

        Raises SegmentTooLarge, with nothing accounted, where no frame that the peer takes could hold it.
        """
        if segment.weight_bytes > self.max_data_bytes:
            raise SegmentTooLarge(lane.number, segment.weight_bytes, self.max_data_bytes)
        lane.move("> data")
        lane.advance(segment)

    @property
    def max_data_bytes(self) -> int:
        """The weight of the segments that one frame to the peer may hold."""
        assert self.peer_hello is not None
        return self.peer_hello.max_frame_bytes - FRAME_BYTES

    def send_on(self, lane: Lane, frame: LaneStatus | Credit | Acknowledgement | LaneEnd) -> None:
        """Send a frame of an open lane; on a lane that has ended meanwhile it is dropped."""
        if lane.state is LaneState.ENDED:
            return
        if isinstance(frame, Acknowledgement):
            lane.acknowledge(frame.source_offset)
        self._send_on(lane, frame)
        if isinstance(frame, Credit):
            lane.credit_bytes += frame.size_bytes

    # --- what we receive

    def receive(self, sequence: int, frame: Frame, now_s: float) -> bool:
        """Take a frame in; answer whether the driver shall act on it (a late one is dropped).

        Raises a PeerError where it breaks a rule: the driver then closes the link.
        """
        if sequence != self._expected_sequence:
            raise FrameOutOfSequence(self._expected_sequence, sequence)
        self._expected_sequence += 1
        self._last_received_s = now_s
        kind = KIND[type(frame)]
        if (after := LINK.get((self.state, f"< {kind}"))) is not None:
            return self._receive_link(frame, after)
        if kind in BESIDE[self.state]:
            return self._receive_beside(frame)
        if self.state not in {LinkState.OPEN, LinkState.DRAINING}:
            raise FrameUnexpected(kind, self.state.value)
        if isinstance(frame, Data):
            return self._receive_data(frame)
        if isinstance(frame, LaneOpen):
            return self._receive_lane_open(frame)
        if isinstance(frame, LaneOpened | LaneEnd | LaneStatus | Credit | Acknowledgement):
            return self._receive_lane(frame, kind)
        raise FrameUnexpected(kind, self.state.value)

    def tick(self, now_s: float) -> float:
        """Send a heartbeat if it is due and answer when to call again; raise PeerSilent for a dead peer."""
        # Compared as what is answered: a difference may fall short of its bound when the sum has reached it.
        dead_s = self._last_received_s + SILENT_HEARTBEATS * self._heartbeat_s(self.peer_hello or self.hello)
        if now_s >= dead_s:
            raise PeerSilent(now_s - self._last_received_s)
        every_s = self._heartbeat_s(self.hello)
        if "heartbeat" not in BESIDE[self.state]:
            return min(dead_s, now_s + every_s)
        if now_s >= self._last_sent_s + every_s:
            self._send(Heartbeat(int(now_s * 1000)))
            self._last_sent_s = now_s
        return min(dead_s, self._last_sent_s + every_s)

    def sent(self, now_s: float) -> None:
        """The driver wrote something: no heartbeat is due for an interval."""
        self._last_sent_s = now_s

    # --- inside

    def _receive_link(self, frame: Frame, after: LinkState) -> bool:
        if isinstance(frame, Hello):
            if frame.major != MAJOR:
                raise VersionUnsupported(frame.major, MAJOR)
            if len(frame.nonce) < 16:
                raise FrameUnexpected("hello with a short nonce", self.state.value)
            if frame.max_frame_bytes < MIN_FRAME_BYTES:
                raise FrameUnexpected(f"hello with a frame limit of {frame.max_frame_bytes} bytes", self.state.value)
            self.peer_hello = frame
        self.state = after
        return True

    def _receive_beside(self, frame: Frame) -> bool:
        if isinstance(frame, Request):
            if frame.id in self._answering:
                raise FrameUnexpected(f"request {frame.id}", "answering it")
            if len(self._answering) >= MAX_REQUESTS:
                raise RequestsExceeded(MAX_REQUESTS)
            self._answering.add(frame.id)
        elif isinstance(frame, Reply):
            if frame.id not in self._asked:
                raise FrameUnexpected(f"reply {frame.id}", "not waiting for it")
            self._asked.remove(frame.id)
        return True

    def _receive_lane_open(self, opening: LaneOpen) -> bool:
        theirs = opening.lane % 2 == (1 if self.dialler else 0)
        if not theirs or opening.lane <= self._highest_peer_lane:
            raise FrameUnexpected(f"lane_open of lane {opening.lane}", self.state.value)
        if not self._may(importer=self.peer_hello, exporter=self.hello):
            raise FrameUnexpected("lane_open", "without the roles for it")
        self._highest_peer_lane = opening.lane
        lane = Lane(opening, importing=False, credit_bytes=opening.credit_bytes)
        lane.move("< lane_open")
        self.lanes[lane.number] = lane
        if self.state is LinkState.DRAINING:
            return self._refuse(lane, "draining", "this gateway is going away")
        if len(self.lanes) > MAX_LANES and sum(not each.importing for each in self.lanes.values()) > MAX_LANES:
            return self._refuse(lane, "too-many-lanes", f"this gateway serves {MAX_LANES} lanes on one link")
        return True

    def _refuse(self, lane: Lane, code: str, detail: str) -> bool:
        self.send_on(lane, LaneEnd(lane.number, code, detail, retriable=True))
        self.forget(lane)
        return False

    def _receive_lane(self, frame: LaneOpened | LaneEnd | LaneStatus | Credit | Acknowledgement, kind: str) -> bool:
        lane = self._known_lane(frame.lane, kind)
        if lane is None:
            return False
        lane.move(f"< {kind}")
        if isinstance(frame, LaneOpened):
            lane.position = frame.first_source_offset
        elif isinstance(frame, Credit):
            lane.credit_bytes += frame.size_bytes
        elif isinstance(frame, Acknowledgement):
            lane.acknowledge(frame.source_offset)
        return True

    def _receive_data(self, data: Data) -> bool:
        wanted = False
        for number, segment in data.segments:
            lane = self._known_lane(number, "data")
            if lane is not None:
                lane.move("< data")
                lane.advance(segment)
                wanted = True
        return wanted

    def forget(self, lane: Lane) -> None:
        """Drop an ended lane. Frames for its number that are still under way are ignored."""
        assert lane.state is LaneState.ENDED
        self.lanes.pop(lane.number, None)

    def _known_lane(self, number: int, kind: str) -> Lane | None:
        lane = self.lanes.get(number)
        if lane is not None and lane.state is not LaneState.ENDED:
            return lane
        ours = number % 2 == (0 if self.dialler else 1)
        existed = number < self._next_lane if ours else number <= self._highest_peer_lane
        if existed and kind in LATE:
            return None
        raise FrameUnexpected(f"{kind} of lane {number}", "unknown")

    def _send(self, frame: Frame) -> None:
        kind = KIND[type(frame)]
        after = LINK.get((self.state, f"> {kind}"))
        if after is None and kind not in BESIDE[self.state]:
            raise FrameUnexpected(kind, self.state.value)
        self.state = after or self.state
        self.outgoing.append(frame)

    def _send_on(
        self, lane: Lane, frame: LaneOpen | LaneOpened | LaneStatus | Credit | Acknowledgement | LaneEnd
    ) -> None:
        lane.move(f"> {KIND[type(frame)]}")
        self.outgoing.append(frame)

    @staticmethod
    def _may(*, importer: Hello | None, exporter: Hello | None) -> bool:
        return (
            importer is not None
            and exporter is not None
            and Role.IMPORTER in importer.roles
            and Role.EXPORTER in exporter.roles
        )

    @staticmethod
    def _heartbeat_s(hello: Hello) -> float:
        least, most = HEARTBEAT_MS
        return min(max(hello.heartbeat_ms, least), most) / 1000
