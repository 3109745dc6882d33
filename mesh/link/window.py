"""How much of a lane may be under way: a window that grows while its importer waits for the wire.

A fixed window is wrong twice: over a long way it caps what a lane may carry at its size for each round trip, and over
a short one all of it comes to lie in the importer's memory. Hence a rule, applied each time that a window's worth has
been dealt with:
- the importer stood idle for more than `IDLE_SHARE` of that time, though the source has more: the window is doubled;
- more than half of the window lay there all the time: it is smaller by a quarter.
No clock of the peer and no measured round trip is in it: a round trip shows as idleness, whatever else causes it.

What a lane begins with, its least, is the smaller the more lanes there are: an eighth of what is left of
`LEASTS_BYTES`, between `SMALLEST_BYTES` and `LEAST_BYTES`. It stays the lane's while that is open, since an exporter
waits for half of what a lane was opened with; a lane that began with little grows as any other.

W1  a window is never smaller than its lane's least nor larger than its lane's most;
W2  what windows take beyond their leasts is bounded for all of them together (`Windows`);
W3  a lane at rest has nothing beyond its least: what it had is taken in as its next bytes come;
W4  the leasts of n lanes are never more than `LEASTS_BYTES` and n times `SMALLEST_BYTES`, and no lane is without one.
"""

from __future__ import annotations

LEAST_BYTES = 1 << 20
"""About a frame: enough to fill one."""
SMALLEST_BYTES = 64 << 10
"""What a lane gets however many there are. With as little, batches of 256 KB go one at a time."""
LEASTS_BYTES = 64 << 20
"""Of all lanes together: the first 57 have `LEAST_BYTES`, the next 20 less and less."""
LEAST_SHARE = 8
"""A lane that is opened gets one part in so many of what is left."""
IDLE_SHARE = 1 / 8


class Windows:
    """What all lanes of a gateway may have under way: the least of each, and `most_bytes` beyond."""

    def __init__(self, most_bytes: int) -> None:
        self.free_bytes = most_bytes
        self._left_bytes = LEASTS_BYTES

    def __repr__(self) -> str:
        return f"<Windows {self.free_bytes} free, {self._left_bytes} left for lanes to come>"

    def window(self, most_bytes: int) -> Window:
        fair = min(max(self._left_bytes // LEAST_SHARE, SMALLEST_BYTES), LEAST_BYTES)
        return Window(self, min(most_bytes, fair), most_bytes)

    def lend(self, least_bytes: int) -> None:
        """A lane has opened; with `-least_bytes`, closed."""
        self._left_bytes -= least_bytes


class Window:
    """Of one lane. `most_bytes` is its largest; one as small as its least stays as it is."""

    def __init__(self, windows: Windows, least_bytes: int, most_bytes: int) -> None:
        self._windows = windows
        self._least = least_bytes
        self._most = most_bytes
        self._is_open = True
        windows.lend(least_bytes)
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
        """The lane has ended: it takes no more, though what it had may still be dealt with. Twice is as once."""
        self._most = self._least
        self._resize(self._least)
        if self._is_open:
            self._windows.lend(-self._least)
        self._is_open = False
