"""What waits to be written on a link: fewer, fuller frames without changing what they say."""

from __future__ import annotations

from collections import deque

from mesh.link.frames import Acknowledgement, Credit, Data, Frame
from mesh.segment import Segment


def coalesce(frames: list[Frame]) -> list[Frame]:
    """The same frames with the credits of a lane added up and only its latest acknowledgement kept.

    Both say something about a lane as a whole, so they may move to the place of the last one.
    """
    if len(frames) < 2:
        return frames
    kept: dict[tuple[type, int] | int, Frame] = {}
    for index, frame in enumerate(frames):
        if isinstance(frame, Credit):
            earlier = kept.pop((Credit, frame.lane), None)
            size_bytes = frame.size_bytes + (earlier.size_bytes if isinstance(earlier, Credit) else 0)
            kept[(Credit, frame.lane)] = Credit(frame.lane, size_bytes)
        elif isinstance(frame, Acknowledgement):
            kept.pop((Acknowledgement, frame.lane), None)
            kept[(Acknowledgement, frame.lane)] = frame
        else:
            kept[index] = frame
    return list(kept.values())


class DataQueue:
    """Segments that wait for the link, in order. Bounded by whoever adds: see `size_bytes`."""

    def __init__(self) -> None:
        self._segments: deque[tuple[int, Segment]] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._segments)

    def add(self, lane: int, segment: Segment) -> None:
        self._segments.append((lane, segment))
        self.size_bytes += segment.weight_bytes

    def take(self, frame_bytes: int) -> Data:
        """The next frame: at least one segment, then as many as fit into `frame_bytes`."""
        taken = [self._segments.popleft()]
        size = taken[0][1].weight_bytes
        while self._segments and size + self._segments[0][1].weight_bytes <= frame_bytes:
            taken.append(self._segments.popleft())
            size += taken[-1][1].weight_bytes
        self.size_bytes -= size
        return Data(tuple(taken))

    def drop(self, lane: int) -> None:
        """Forget what waits of a lane that has ended."""
        self._segments = deque(entry for entry in self._segments if entry[0] != lane)
        self.size_bytes = sum(segment.weight_bytes for _, segment in self._segments)
