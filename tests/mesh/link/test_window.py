"""Windows of lanes: they follow what the way needs, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.link.window import LEAST_BYTES, LEASTS_BYTES, SMALLEST_BYTES, Window, Windows

MIB = 1 << 20
MOST = 16 * MIB


class Way:
    """A source with more than enough, a round trip and an importer: what they make of a window."""

    def __init__(self, window: Window, round_trip_s: float, wire_s: float, importer_s: float) -> None:
        """Seconds that a MiB costs the wire and the importer."""
        self.window = window
        self._round_trip_s, self._wire_s, self._importer_s = round_trip_s, wire_s, importer_s
        self._credit = window.size_bytes
        self._sent_s = 0.0
        self._now_s = 0.0
        self._arriving: list[float] = []
        self._leaving: list[tuple[float, int]] = []
        self.moved = 0
        self.most_lying = 0

    def run(self, mib: int) -> float:
        """MiB a second over so much."""
        began_s = self._now_s
        for _ in range(mib):
            self._send()
            arrived_s = self._arriving.pop(0)
            if arrived_s > self._now_s:
                self.window.idle(arrived_s - self._now_s)
                self._now_s = arrived_s
            self._send()
            lying = sum(each <= self._now_s for each in self._arriving) * MIB
            self.most_lying = max(self.most_lying, lying)
            self.window.took(lying)
            self._now_s += self._importer_s
            self._leaving.append((self._now_s + self._round_trip_s / 2, self.window.credit(MIB, self._now_s)))
        return mib / (self._now_s - began_s)

    def _send(self) -> None:
        while True:
            while self._credit <= 0 and self._leaving and (self._leaving[0][0] <= self._now_s or not self._arriving):
                at_s, credit = self._leaving.pop(0)
                self._sent_s = max(self._sent_s, at_s)
                self._credit += credit
            if self._credit <= 0:
                return
            self._credit -= MIB
            self._sent_s += self._wire_s
            self._arriving.append(self._sent_s + self._round_trip_s / 2)


def test_a_window_grows_to_what_a_long_way_takes() -> None:
    near, far = (Way(Windows(64 * MIB).window(MOST), trip_s, 1 / 100, 1 / 200) for trip_s in (0.0, 0.1))
    near.run(100), far.run(100)
    assert far.run(200) > 0.8 * near.run(200)
    assert far.window.size_bytes == MOST


def test_what_the_importer_cannot_take_does_not_pile_up() -> None:
    slow = Way(Windows(64 * MIB).window(MOST), 0.001, 1 / 400, 1 / 50)
    assert slow.run(200) == pytest.approx(50, rel=0.1)
    assert slow.most_lying <= 4 * MIB


def test_a_window_that_became_too_large_shrinks() -> None:
    window = Windows(64 * MIB).window(MOST)
    Way(window, 0.1, 1 / 100, 1 / 200).run(200)
    assert window.size_bytes == MOST
    for step in range(400):
        window.took(window.size_bytes * 3 // 4)
        window.credit(MIB, step / 50)
    assert window.size_bytes <= 2 * MIB


def test_at_rest_a_lane_gives_back_what_it_had_and_takes_it_in_later() -> None:
    windows = Windows(64 * MIB)
    window = windows.window(MOST)
    Way(window, 0.1, 1 / 100, 1 / 200).run(200)
    assert windows.free_bytes == 49 * MIB
    window.rest()
    assert (windows.free_bytes, window.size_bytes) == (64 * MIB, LEAST_BYTES)
    assert [window.credit(5 * MIB, 100.0), window.credit(5 * MIB, 100.1), window.credit(5 * MIB, 100.2)] == [0, 0, 0]
    assert window.credit(2 * MIB, 100.3) == 2 * MIB


def test_windows_share_what_there_is() -> None:
    windows = Windows(10 * MIB)
    ways = [Way(windows.window(MOST), 0.1, 1 / 100, 1 / 200) for _ in range(4)]
    for _ in range(50):
        for way in ways:
            way.run(10)
    assert sum(way.window.size_bytes for way in ways) == 14 * MIB
    ways[0].window.close()
    assert windows.free_bytes >= 0
    assert ways[0].window.size_bytes == LEAST_BYTES


def test_a_small_window_stays_as_it_is() -> None:
    window = Windows(64 * MIB).window(1000)
    for step in range(100):
        window.idle(1.0)
        assert window.credit(1000, step) == 1000
    assert repr(window) == "<Window 1000 of 1000>"


def test_the_first_lanes_have_all_they_can_use_and_a_thousand_stay_within_the_bound() -> None:
    windows = Windows(0)
    leasts = [windows.window(MOST).size_bytes for _ in range(1000)]
    assert set(leasts[:57]) == {LEAST_BYTES}
    assert set(leasts[77:]) == {SMALLEST_BYTES}
    assert sum(leasts) <= LEASTS_BYTES + 1000 * SMALLEST_BYTES
    assert repr(windows).startswith("<Windows 0 free, -")


def test_a_lane_that_began_with_the_smallest_window_grows_to_what_a_long_way_takes() -> None:
    windows = Windows(64 * MIB)
    for _ in range(1000):
        windows.window(MOST)
    near, late = Way(Windows(64 * MIB).window(MOST), 0.0, 1 / 100, 1 / 200), Way(windows.window(MOST), 0.1, 0.01, 0.005)
    assert late.window.size_bytes == SMALLEST_BYTES
    near.run(100), late.run(100)
    assert late.run(200) > 0.8 * near.run(200)
    late.window.rest()
    assert (windows.free_bytes, late.window.size_bytes) == (64 * MIB, SMALLEST_BYTES)


def test_lanes_that_close_leave_what_they_had_to_those_that_come() -> None:
    windows = Windows(64 * MIB)
    first = [windows.window(MOST) for _ in range(1000)]
    for window in first * 2:
        window.close()
    assert windows.window(MOST).size_bytes == LEAST_BYTES
    assert windows.free_bytes == 64 * MIB


LANES = st.lists(
    st.tuples(st.sampled_from(["open", "open", "grow", "rest", "close"]), st.integers(0, 400), st.integers(1, MOST)),
    max_size=400,
)


@settings(max_examples=50)
@given(LANES, st.integers(0, 40 * MIB), st.integers(0, 300))
def test_however_lanes_come_and_go_their_windows_stay_within_one_bound_and_none_is_without(
    steps: list[tuple[str, int, int]], shared: int, lanes: int
) -> None:
    windows = Windows(shared)
    running = [(windows.window(MOST), MOST) for _ in range(lanes)]
    for now_s, (what, which, most) in enumerate(steps):
        if what == "open":
            running.append((windows.window(most), most))
        elif running:
            window, its_most = running[which % len(running)]
            if what == "grow":
                window.idle(1.0)
                window.credit(window.size_bytes, now_s)
            elif what == "rest":
                window.rest()
            else:
                window.close()
                running.remove((window, its_most))
        assert all(min(its, SMALLEST_BYTES) <= each.size_bytes <= its for each, its in running)
        assert sum(each.size_bytes for each, _ in running) <= LEASTS_BYTES + shared + len(running) * SMALLEST_BYTES
    for window, _ in running:
        window.close()
    assert windows.free_bytes == shared
    assert windows.window(MOST).size_bytes == LEAST_BYTES


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(["idle", "rest", "took", "credit"]), st.integers(1, 4 * MIB)), max_size=200),
    st.integers(1, MOST),
    st.integers(0, 20 * MIB),
)
def test_whatever_happens_the_bounds_hold_and_a_lane_never_gets_stuck(
    steps: list[tuple[str, int]], most: int, shared: int
) -> None:
    windows = Windows(shared)
    window = windows.window(most)
    least = window.size_bytes
    under_way, now_s = least, 0.0
    for what, amount in steps:
        if what == "idle":
            window.idle(amount / MIB)
        elif what == "rest":
            window.rest()
        elif what == "took":
            window.took(amount)
        else:
            now_s += 0.01
            dealt = min(amount, max(under_way, 1))
            under_way += window.credit(dealt, now_s) - dealt
        assert least <= window.size_bytes <= most
        assert windows.free_bytes == shared - (window.size_bytes - least) >= 0
    assert window.credit(max(0, under_way), now_s) >= least
