"""How much of a lane may be under way: a window that grows while its importer waits for the wire.

A fixed window is wrong twice: over a long way it caps what a lane may carry at its size for each round trip, and over
a short one all of it comes to lie in the importer's memory. Hence a rule, applied each time that a window's worth has
been dealt with:
- the importer stood idle for more than `IDLE_SHARE` of that time, though the source has more: the window is doubled;
- more than half of the window lay there all the time: it is smaller by a quarter.
No clock of the peer and no measured round trip is in it: a round trip shows as idleness, whatever else causes it.

W1  a window is never smaller than `LEAST_BYTES` (or what its lane was opened with) nor larger than its lane's most;
W2  what windows take beyond their least is bounded for all of them together (`Windows`);
W3  a lane at rest has nothing beyond the least: what it had is taken in as its next bytes come.
"""

from __future__ import annotations

LEAST_BYTES = 1 << 20
"""About a frame: enough to fill one, and what a thousand lanes can have without anybody's leave."""
IDLE_SHARE = 1 / 8


class Windows:
    """What all lanes of a gateway may have under way beyond the least of each."""

    def __init__(self, most_bytes: int) -> None:
        self.free_bytes = most_bytes

    def window(self, most_bytes: int) -> Window:
        return Window(self, most_bytes)


class Window:
    """Of one lane. `most_bytes` is its largest; one smaller than the least stays as it is."""

    def __init__(self, windows: Windows, most_bytes: int) -> None:
        self._windows = windows
        self._least = min(most_bytes, LEAST_BYTES)
        self._most = most_bytes
        self.size_bytes = self._least
        self._given = self._least
        self._begin(None)

    def __repr__(self) -> str:
        return f"<Window {self.size_bytes} of {self._most}>"

    def _begin(self, now_s: float | None) -> None:
        self._began_s: float | None = now_s
        self._dealt = 0
        self._idle_s = 0.0
        self._lay: int | None = None

    def idle(self, seconds: float) -> None:
        """The importer waited so long, and the source had more."""
        self._idle_s += seconds

    def rest(self) -> None:
        """The importer waits for new records: there is no more at the source."""
        self._resize(self._least)

    def took(self, left_bytes: int) -> None:
        """The importer took a segment; `left_bytes` of others lie there."""
        self._lay = left_bytes if self._lay is None else min(self._lay, left_bytes)

    def credit(self, dealt_bytes: int, now_s: float) -> int:
        """So much was dealt with: what may be sent for it."""
        self._given -= dealt_bytes
        self._dealt += dealt_bytes
        if self._began_s is None:
            self._begin(now_s)
        elif self._dealt >= self.size_bytes:
            self._judge(now_s - self._began_s)
            self._begin(now_s)
        given = max(0, self.size_bytes - self._given)
        self._given += given
        return given

    def _judge(self, lasted_s: float) -> None:
        if self._idle_s > IDLE_SHARE * lasted_s:
            self._resize(2 * self.size_bytes)
        elif (self._lay or 0) > self.size_bytes // 2:
            self._resize(self.size_bytes * 3 // 4)

    def _resize(self, wanted_bytes: int) -> None:
        wanted = max(self._least, min(wanted_bytes, self._most, self.size_bytes + self._windows.free_bytes))
        self._windows.free_bytes -= wanted - self.size_bytes
        self.size_bytes = wanted

    def close(self) -> None:
        """The lane has ended: it takes no more, though what it had may still be dealt with."""
        self._most = self._least
        self._resize(self._least)
