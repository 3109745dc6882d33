"""Two `Link` machines joined by hand: frames go over when the test says so, one at a time, through the codec.

pair = linked_pair()
lane = pair.dialler.open_lane(LaneOpen(pair.dialler.next_lane(), "flights", "departures", 0, StartAt()))
pair.deliver_all()
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.link.frames import Frame, Hello, Proof
from mesh.link.machine import Link
from mesh.testing.clock import FakeClock
from mesh.wire.codec import decode_frame, encode_frame

Received = Callable[[Link, Frame], None]


def hello(organization: str = "acme.example", **changed: object) -> Hello:
    """A legal hello; `changed` are fields of it."""
    fields: dict[str, object] = {"organization": organization, "gateway": "one", "nonce": bytes(32), **changed}
    return Hello(**fields)  # type: ignore[arg-type]


@dataclass
class LinkPair:
    """`dialler` and `acceptor`, and what is under way between them as bytes."""

    dialler: Link
    acceptor: Link
    clock: FakeClock
    received: Received | None = None
    """Called with each frame that its receiver was told to act on."""
    _sent: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _wire: dict[bool, deque[bytes]] = field(default_factory=lambda: {True: deque(), False: deque()})

    def other(self, link: Link) -> Link:
        return self.acceptor if link is self.dialler else self.dialler

    def write(self, link: Link) -> None:
        """Put what `link` has to send on its way."""
        side = link.dialler
        for frame in link.outgoing:
            self.put(link, encode_frame(self._sent[side], frame))
        link.outgoing = []

    def put(self, link: Link, data: bytes) -> None:
        """Put a frame of the test's own making on the way from `link`, with the sequence number it states."""
        self._wire[link.dialler].append(data)
        self._sent[link.dialler] += 1

    def next_sequence(self, link: Link) -> int:
        return self._sent[link.dialler]

    def under_way(self, link: Link) -> int:
        """How many frames from `link` have not arrived."""
        return len(self._wire[link.dialler])

    def deliver(self, link: Link) -> Frame:
        """Hand the oldest frame from `link` to the other side. Raises what that says of it."""
        sequence, frame = decode_frame(self._wire[link.dialler].popleft())
        receiver = self.other(link)
        if receiver.receive(sequence, frame, self.clock()) and self.received is not None:
            self.received(receiver, frame)
        return frame

    def deliver_all(self) -> None:
        """Deliver until nothing is under way."""
        links = (self.dialler, self.acceptor)
        while any(link.outgoing or self.under_way(link) for link in links):
            for link in links:
                self.write(link)
                while self.under_way(link):
                    self.deliver(link)


def linked_pair(*, opened: bool = True, **changed: object) -> LinkPair:
    """Two links; `opened`: greeted and proven. `changed` are fields of both hellos."""
    clock = FakeClock()
    dialler = Link(hello("acme.example", **changed), dialler=True, now_s=clock())
    acceptor = Link(hello("globex.example", **changed), dialler=False, now_s=clock())
    pair = LinkPair(dialler, acceptor, clock)
    if opened:
        for step in (Link.greet, lambda link: link.prove(Proof((b"leaf",), b"signature"))):
            step(dialler)
            step(acceptor)
            pair.deliver_all()
    return pair
